"""What a route may ask for. Built once in the lifespan, handed out per request."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Depends, Query
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from starlette.requests import HTTPConnection, Request
from structlog.contextvars import bind_contextvars
from temporalio.client import Client

from adapters.stripe.setup_intents import StripeSetupIntents
from api.auth.tokens import password_mark, read_token
from config import Settings
from database.accounts.api_keys import ApiKeyRepository
from database.accounts.models import User
from database.accounts.users import ADMIN, UserRepository
from database.session import Sessions
from domain.errors import ForbiddenError, NotFoundError, UnauthorizedError

Role = Literal["user", "admin"]

# What a cursor is made of: base64 for URLs, or a number.
CURSOR_PATTERN = r"^[A-Za-z0-9_-]+={0,2}$"
CURSOR_LENGTH = 2_000


def get_temporal(connection: HTTPConnection) -> Client:
    """Return the process's one Temporal client."""
    return cast("Client", connection.app.state.temporal)


def get_settings(connection: HTTPConnection) -> Settings:
    """Return the settings the process started with."""
    return cast("Settings", connection.app.state.settings)


def get_sessions(connection: HTTPConnection) -> Sessions:
    """Return what makes database sessions."""
    return cast("Sessions", connection.app.state.sessions)


def get_setup_intents(connection: HTTPConnection) -> StripeSetupIntents:
    """Return what reads set-up intents at Stripe."""
    return cast("StripeSetupIntents", connection.app.state.setup_intents)


TemporalDep = Annotated[Client, Depends(get_temporal)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
SessionsDep = Annotated[Sessions, Depends(get_sessions)]
SetupIntentsDep = Annotated[StripeSetupIntents, Depends(get_setup_intents)]


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        user_id: Which user.
        role: What they may see.
        api_key_id: The key that they showed, or with which their ticket was made.
    """

    user_id: UUID
    role: Role
    api_key_id: UUID | None = None

    @property
    def scope(self) -> UUID | None:
        """Whose rows the caller may see: only their own, or, for an administrator, all (None)."""
        return None if self.role == ADMIN else self.user_id


@dataclass(frozen=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int
    cursor: str | None


_bearer = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)
_api_key = APIKeyHeader(name="X-API-Key", auto_error=False)


async def authenticate(
    sessions: Sessions,
    settings: Settings,
    token: str | None,
    api_key: str | None,
) -> Caller:
    """Find out who asks.

    Args:
        sessions: Where users and keys are.
        settings: Hold the tokens' secret.
        token: A bearer token, if one came.
        api_key: A key, if one came; looked at when no token did.

    Returns:
        The caller.

    Raises:
        UnauthorizedError: Nothing valid came, or the user was deactivated.
    """
    user: User | None = None
    api_key_id: UUID | None = None
    if token:
        facts = read_token(token, settings.auth.jwt_secret.get_secret_value())
        async with sessions() as session:
            user = await UserRepository(session).get(facts.user_id)
        # Reason: a password that was reset takes along what was got with the old one.
        if user and facts.password_mark not in {None, password_mark(user.password_hash)}:
            user = None
    elif api_key:
        async with sessions() as session:
            user, api_key_id = await ApiKeyRepository(session).owner(api_key) or (None, None)
    if user is None or not user.is_active:
        raise UnauthorizedError("a valid bearer token or API key is needed")
    bind_contextvars(user_id=str(user.user_id))
    return Caller(user.user_id, cast("Role", user.role), api_key_id)


async def check_credentials(request: Request, *, is_needed: bool) -> Caller | None:
    """Find out who asks, before the body is read; the request remembers it.

    Args:
        request: The request at hand.
        is_needed: False lets strangers pass.

    Returns:
        The caller; None for a stranger.

    Raises:
        UnauthorizedError: Credentials are wrong, or needed and missing.
    """
    token, api_key = await _bearer(request), await _api_key(request)
    if not is_needed and not token and not api_key:
        return None
    sessions, settings = get_sessions(request), get_settings(request)
    request.state.caller = await authenticate(sessions, settings, token, api_key)
    return cast("Caller", request.state.caller)


async def get_caller(
    connection: HTTPConnection,
    sessions: SessionsDep,
    settings: SettingsDep,
    token: Annotated[str | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_api_key)],
) -> Caller:
    """Return who asks, or refuse with 401."""
    remembered: Caller | None = getattr(connection.state, "caller", None)
    return remembered or await authenticate(sessions, settings, token, api_key)


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_admin(caller: CallerDep) -> Caller:
    """Return who asks if they are an administrator, or refuse with 403."""
    if caller.role != ADMIN:
        raise ForbiddenError("only an administrator may do this", "admin_required")
    return caller


AdminDep = Annotated[Caller, Depends(get_admin)]


async def get_maybe_caller(
    connection: HTTPConnection,
    sessions: SessionsDep,
    settings: SettingsDep,
    token: Annotated[str | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_api_key)],
) -> Caller | None:
    """Return who asks, or None for a stranger; wrong credentials are still refused with 401."""
    if not token and not api_key:
        return None
    remembered: Caller | None = getattr(connection.state, "caller", None)
    return remembered or await authenticate(sessions, settings, token, api_key)


MaybeCallerDep = Annotated[Caller | None, Depends(get_maybe_caller)]


async def get_scope(
    caller: CallerDep,
    user_id: Annotated[UUID | None, Query(description="Whose; administrators only.")] = None,
) -> UUID | None:
    """Return whose rows a list shows; None for everybody's, which only administrators see.

    Raises:
        NotFoundError: There is no such user for this caller.
    """
    if caller.scope is None:
        return user_id
    if user_id not in {None, caller.user_id}:
        raise NotFoundError("there is no such user")
    return caller.user_id


ScopeDep = Annotated[UUID | None, Depends(get_scope)]


def get_paging(
    limit: Annotated[int, Query(ge=1, le=200, description="Items at the most.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            max_length=CURSOR_LENGTH,
            # Reason: it is told, not checked here: a wrong one has an error code of its own.
            json_schema_extra={"pattern": CURSOR_PATTERN},
            description="`next_cursor` of the page before.",
        ),
    ] = None,
) -> Paging:
    """Return which part of a list is asked for."""
    return Paging(limit, cursor)


PagingDep = Annotated[Paging, Depends(get_paging)]
