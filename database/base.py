"""Base of all tables, and helpers for columns that many tables share."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    DateTime,
    Index,
    MetaData,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base: timestamps have a time zone, dictionaries are JSONB, integers 64-bit."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        int: BigInteger,
    }


def id_column() -> Mapped[UUID]:
    """Return a UUID primary key that PostgreSQL generates by default."""
    return mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))


def created_column() -> Mapped[datetime]:
    """Return a column with the time at which the row was inserted."""
    return mapped_column(server_default=func.now())


# `parked_data` without parked steps; a literal, so that PostgreSQL can use the partial indexes.
NOTHING_PARKED: ColumnClause[Any] = literal_column("'[]'::jsonb")


def parked_column() -> Mapped[list[dict[str, Any]]]:
    """Return the column of a workflow's parked steps."""
    return mapped_column(server_default=text("'[]'::jsonb"))


def parked_index(table: str, *columns: str) -> Index:
    """Return the partial index of the rows that have parked steps."""
    is_parked = text("parked_data <> '[]'::jsonb")
    return Index(f"ix_{table}_parked", *columns, postgresql_where=is_parked)
