"""Makes administrators, and promotes users to administrators."""

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
from domain.accounts.credentials import make_api_key
from domain.errors import ConflictError, InvalidInputError, UnavailableError

PASSWORD_BYTES = 18
_NOT_ADMIN = (
    "a user who is not an administrator, and may be a stranger, has this address: --promote makes "
    "that user an administrator, with a new password and without the old API keys"
)

Value = TypeVar("Value")


class NewAdmin(NamedTuple):
    """The credentials of a new administrator, which are shown only once."""

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
    """Make an administrator, or give an administrator one more API key.

    Args:
        settings: Settings of the database.
        email: Email address of the administrator.
        password: New password; None keeps an administrator's password, and generates one for a
            user who is promoted.
        is_promoted: Whether an existing user may be promoted, who loses the password and all keys.

    Returns:
        The API key, and the password if it was generated; neither can be shown again.

    Raises:
        ConflictError: A user who is not an administrator has this address.
        InvalidInputError: The address, the password or the database URL is not valid.
        UnavailableError: The database does not answer, or has not been migrated.
    """
    address = _checked(Email, email, "this is not an email address")
    _checked(Password | None, password, "a password has 8 to 256 characters")
    api_key = make_api_key()
    engine = _engine(settings.database_url)
    try:
        async with make_sessions(engine).begin() as session:
            users = UserRepository(session)
            existing = await users.get_by_email(address)
            what, generated = "created", None
            if existing is not None and existing.role == ADMIN:
                what = "has one more key"
            elif existing is not None:
                what = "promoted"
                password = password or (generated := token_urlsafe(PASSWORD_BYTES))
                await _promote(session, existing, is_promoted=is_promoted)
            await ensure_admin(session, address, api_key)
            if password is not None and (row := await users.get_by_email(address)):
                row.password_hash = await hash_password(password)
    except DATABASE_DOWN as error:
        raise UnavailableError("PostgreSQL cannot be reached", "database_unavailable") from error
    except ProgrammingError as error:
        message = "the database is not migrated: run `python cli.py migrate`"
        raise UnavailableError(message, "database_not_migrated") from error
    finally:
        await engine.dispose()
    return NewAdmin(address, api_key, what, generated)


async def _promote(session: AsyncSession, user: User, *, is_promoted: bool) -> None:
    if not is_promoted:
        raise ConflictError(_NOT_ADMIN)
    user.role = ADMIN
    await revoke_all_keys(session, user.user_id)
    await session.flush()


def _engine(database_url: str) -> AsyncEngine:
    try:
        return make_engine(database_url)
    except (ValueError, ArgumentError) as error:
        # Reason: the error's own message may quote the URL with its password.
        message = "DATABASE_URL is not postgresql://user:password@host:port/name"
        raise InvalidInputError(message) from error


def _checked(kind: Any, value: Value, message: str) -> Value:
    adapter: TypeAdapter[Value] = TypeAdapter(kind)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(message) from error
