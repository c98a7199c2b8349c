"""Reads the operator's mapping of customers at Stripe to users."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from commands.settings import CommandError
from database.accounts.imported_customers import (
    ImportedCustomerRepository,
    existing_users,
    users_by_external_id,
)
from database.session import Sessions

CUSTOMER, USER, EXTERNAL = "stripe_customer_id", "user_id", "external_id"
BATCH_SIZE = 1_000
_CUSTOMER_ID = re.compile(r"cus_[A-Za-z0-9]{1,100}")
_SHOWN_COUNT = 10


class MappingError(CommandError):
    """The mapping cannot be used; every argument is a line with a reason."""


class MappingRow(NamedTuple):
    """A row of the file: a customer, and who the user is."""

    line: int
    stripe_customer_id: str
    user: str


class Mapping(NamedTuple):
    """The rows of a file, and the column that names the users."""

    column: str
    rows: Sequence[MappingRow]


def read_mapping(path: Path) -> Mapping:
    """Read a CSV file with the columns `stripe_customer_id` and `user_id` or `external_id`.

    Raises:
        MappingError: The file cannot be read, or a row is wrong; nothing of it is used then.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            names = table.fieldnames or ()
            column = next((each for each in (USER, EXTERNAL) if each in names), None)
            if CUSTOMER not in names or column is None:
                raise MappingError(f"{path} needs the columns {CUSTOMER} and {USER} or {EXTERNAL}")
            rows = [
                MappingRow(
                    table.line_num, (row[CUSTOMER] or "").strip(), (row[column] or "").strip()
                )
                for row in table
            ]
    except (OSError, UnicodeError, csv.Error) as error:
        raise MappingError(f"{path} cannot be read: {error}") from error
    _refuse(path, _flaws(rows, column))
    return Mapping(column, rows)


async def store_mapping(sessions: Sessions, path: Path, mapping: Mapping) -> int:
    """Store the users of a mapping, and return how many there are.

    Raises:
        MappingError: A user does not exist; nothing is stored then.
    """
    flaws: list[str] = []
    async with sessions.begin() as session:
        for start in range(0, len(mapping.rows), BATCH_SIZE):
            batch = mapping.rows[start : start + BATCH_SIZE]
            users = await _users(session, mapping.column, [row.user for row in batch])
            flaws += [
                f"line {row.line}: there is no user with the {mapping.column} {row.user}"
                for row in batch
                if row.user not in users
            ]
            found = {row.stripe_customer_id: users[row.user] for row in batch if row.user in users}
            if found and not flaws:
                await ImportedCustomerRepository(session).put_mapping(found)
        _refuse(path, flaws)
    return len(mapping.rows)


async def _users(session: AsyncSession, column: str, names: Sequence[str]) -> dict[str, UUID]:
    if column == EXTERNAL:
        return await users_by_external_id(session, names)
    known = await existing_users(session, [UUID(name) for name in names])
    return {name: UUID(name) for name in names if UUID(name) in known}


def _flaws(rows: Sequence[MappingRow], column: str) -> Iterator[str]:
    seen: dict[str, int] = {}
    users: dict[str, int] = {}
    for row in rows:
        if _CUSTOMER_ID.fullmatch(row.stripe_customer_id) is None:
            yield f"line {row.line}: {row.stripe_customer_id!r} is no customer of Stripe"
        elif not row.user or (column == USER and not _is_uuid(row.user)):
            yield f"line {row.line}: {row.user!r} is no {column}"
        for name, value, lines in (
            (CUSTOMER, row.stripe_customer_id, seen),
            (column, row.user, users),
        ):
            if value in lines:
                yield f"line {row.line}: this {name} stands in line {lines[value]} too"
            lines.setdefault(value, row.line)


def _refuse(path: Path, flaws: Iterator[str] | Sequence[str]) -> None:
    lines = list(flaws)
    if not lines:
        return
    more = len(lines) - _SHOWN_COUNT
    shown = lines[:_SHOWN_COUNT] + ([f"and {more} more"] if more > 0 else [])
    raise MappingError(*[f"{path}: {line}" for line in shown])


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
