"""Make the first administrator, or promote somebody to one."""

from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import ArgumentError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.passwords import hash_password
from api.schemas.accounts import Password
from api.schemas.common import Email
from config import Settings
from database.session import DATABASE_DOWN, make_engine, make_sessions
from database.users import UserRepository, ensure_admin
from domain.api_keys import make_api_key
from domain.errors import InvalidInputError, UnavailableError


class NewAdmin(NamedTuple):
    """What is told once."""

    email: str
    api_key: str
    is_promoted: bool


async def create_admin(settings: Settings, email: str, password: str | None) -> NewAdmin:
    """Make an administrator with an API key of their own.

    Args:
        settings: Where the database is.
        email: Who it is; an existing user is promoted.
        password: What they log in with from now on; None leaves that as it is, so that a new
            administrator has the API key alone.

    Returns:
        The key, which is kept nowhere.

    Raises:
        InvalidInputError: This is no address, no password, or no URL of a database.
        UnavailableError: The database does not answer, or has not been migrated.
    """
    address = _checked(Email, email, "this is no e-mail address")
    if password is not None:
        _checked(Password, password, "a password has 8 to 256 characters")
    api_key = make_api_key()
    engine = _engine(settings.database_url)
    try:
        async with make_sessions(engine).begin() as session:
            users = UserRepository(session)
            known = await users.get_by_email(address)
            await ensure_admin(session, address, api_key)
            row = known or await users.get_by_email(address)
            if row is not None and password is not None:
                row.password_hash = await hash_password(password)
    except DATABASE_DOWN as error:
        raise UnavailableError("the database does not answer", "database_unavailable") from error
    except ProgrammingError as error:
        message = "the database is not migrated: run `python cli.py migrate`"
        raise UnavailableError(message, "database_not_migrated") from error
    finally:
        await engine.dispose()
    return NewAdmin(address, api_key, is_promoted=known is not None)


def _engine(database_url: str) -> AsyncEngine:
    try:
        return make_engine(database_url)
    except (ValueError, ArgumentError) as error:
        # Reason: not the error's own words, which may quote the URL and so its password.
        complaint = "DATABASE_URL is not postgresql://user:password@host:port/name"
        raise InvalidInputError(complaint) from error


def _checked(kind: Any, value: str, complaint: str) -> str:
    adapter: TypeAdapter[str] = TypeAdapter(kind)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(complaint) from error
