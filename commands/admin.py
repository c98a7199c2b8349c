"""Make the first administrator, or promote somebody to one."""

from secrets import token_urlsafe
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import ArgumentError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.auth.passwords import hash_password
from api.schemas.accounts import Password
from api.schemas.common import Email
from config import Settings
from database.accounts.api_keys import revoke_all_keys
from database.accounts.models import User
from database.accounts.users import ADMIN, UserRepository, ensure_admin
from database.session import DATABASE_DOWN, make_engine, make_sessions
from domain.accounts import make_api_key
from domain.errors import ConflictError, InvalidInputError, UnavailableError

PASSWORD_BYTES = 18
_KNOWN = (
    "this address has an account, which is no administrator's and may be anybody's: "
    "--promote makes it one, with a new password and without its old keys"
)

Value = TypeVar("Value")


class NewAdmin(NamedTuple):
    """What is told once."""

    email: str
    api_key: str
    what: str
    password: str | None = None


async def create_admin(
    settings: Settings,
    email: str,
    password: str | None,
    *,
    is_promoted: bool = False,
) -> NewAdmin:
    """Make an administrator with an API key of their own.

    Args:
        settings: Where the database is.
        email: Who it is.
        password: What they log in with from now on; None leaves an administrator's as it is, and
            makes one up for whoever is promoted.
        is_promoted: Whether an existing user may be made one; it loses its password and keys.

    Returns:
        The key, and the password if one was made up; both are kept nowhere.

    Raises:
        ConflictError: There is such a user, who is no administrator.
        InvalidInputError: This is no address, no password, or no URL of a database.
        UnavailableError: The database does not answer, or has not been migrated.
    """
    address = _checked(Email, email, "this is no e-mail address")
    _checked(Password | None, password, "a password has 8 to 256 characters")
    api_key = make_api_key()
    engine = _engine(settings.database_url)
    try:
        async with make_sessions(engine).begin() as session:
            users = UserRepository(session)
            known = await users.get_by_email(address)
            what, made_up = "created", None
            if known is not None and known.role == ADMIN:
                what = "has one more key"
            elif known is not None:
                what = "promoted"
                password = password or (made_up := token_urlsafe(PASSWORD_BYTES))
                await _promote(session, known, is_promoted=is_promoted)
            await ensure_admin(session, address, api_key)
            if password is not None and (row := await users.get_by_email(address)):
                row.password_hash = await hash_password(password)
    except DATABASE_DOWN as error:
        raise UnavailableError("the database does not answer", "database_unavailable") from error
    except ProgrammingError as error:
        message = "the database is not migrated: run `python cli.py migrate`"
        raise UnavailableError(message, "database_not_migrated") from error
    finally:
        await engine.dispose()
    return NewAdmin(address, api_key, what, made_up)


async def _promote(session: AsyncSession, user: User, *, is_promoted: bool) -> None:
    if not is_promoted:
        raise ConflictError(_KNOWN)
    user.role = ADMIN
    await revoke_all_keys(session, user.user_id)
    await session.flush()


def _engine(database_url: str) -> AsyncEngine:
    try:
        return make_engine(database_url)
    except (ValueError, ArgumentError) as error:
        # Reason: not the error's own words, which may quote the URL and so its password.
        complaint = "DATABASE_URL is not postgresql://user:password@host:port/name"
        raise InvalidInputError(complaint) from error


def _checked(kind: Any, value: Value, complaint: str) -> Value:
    adapter: TypeAdapter[Value] = TypeAdapter(kind)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(complaint) from error
