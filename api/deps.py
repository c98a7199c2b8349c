"""Dependencies of routes: clients are built once in the lifespan, and injected per request."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Depends, Query
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from starlette.requests import HTTPConnection, Request
from structlog.contextvars import bind_contextvars
from temporalio.client import Client

from adapters.stripe.setup_intents import StripeSetupIntents
from api.auth.tokens import TokenClaims, password_fingerprint, read_token
from config import Settings
from database.accounts.api_keys import ApiKeyRepository
from database.accounts.models import User
from database.accounts.users import ADMIN, UserRepository
from database.session import Sessions
from domain.errors import ForbiddenError, NotFoundError, UnauthorizedError
from services.agents.tools.catalog import ToolCatalog

Role = Literal["user", "admin"]

# Characters of a cursor: URL-safe base64, or a decimal number.
CURSOR_PATTERN = r"^[A-Za-z0-9_-]+={0,2}$"
CURSOR_LENGTH = 2_000


async def get_temporal(connection: HTTPConnection) -> Client:
    """Return the process's Temporal client."""
    return cast("Client", connection.app.state.temporal)


async def get_settings(connection: HTTPConnection) -> Settings:
    """Return the settings that the process started with."""
    return cast("Settings", connection.app.state.settings)


async def get_sessions(connection: HTTPConnection) -> Sessions:
    """Return the factory of database sessions."""
    return cast("Sessions", connection.app.state.sessions)


async def get_setup_intents(connection: HTTPConnection) -> StripeSetupIntents:
    """Return the client that reads setup intents at Stripe."""
    return cast("StripeSetupIntents", connection.app.state.setup_intents)


async def get_tools(connection: HTTPConnection) -> ToolCatalog:
    """Return the catalogue of the agents' tools."""
    return cast("ToolCatalog", connection.app.state.tools)


TemporalDep = Annotated[Client, Depends(get_temporal)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
SessionsDep = Annotated[Sessions, Depends(get_sessions)]
SetupIntentsDep = Annotated[StripeSetupIntents, Depends(get_setup_intents)]
ToolsDep = Annotated[ToolCatalog, Depends(get_tools)]


@dataclass(frozen=True)
class Caller:
    """The authenticated user who sends a request.

    Args:
        user_id: Id of the user.
        role: Role of the user; decides which rows the user may see.
        api_key_id: API key that was sent, or with which the user's ticket was made, if any.
        login_session_id: Session of the bearer token that was sent, or with which the user's
            ticket was made, if any.
    """

    user_id: UUID
    role: Role
    api_key_id: UUID | None = None
    login_session_id: UUID | None = None

    @property
    def scope(self) -> UUID | None:
        """User whose rows the caller may see; None for an administrator, who may see all rows."""
        return None if self.role == ADMIN else self.user_id


@dataclass(frozen=True)
class Paging:
    """Page of a list that the caller asks for."""

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
    """Identify the caller by a bearer token or an API key.

    Args:
        sessions: Factory of database sessions.
        settings: Settings with the secret that signs tokens.
        token: Bearer token, if one was sent.
        api_key: API key, if one was sent; ignored when there is a token.

    Returns:
        The caller.

    Raises:
        UnauthorizedError: No valid credential was sent, or the user is deactivated.
    """
    user: User | None = None
    api_key_id: UUID | None = None
    login_session_id: UUID | None = None
    if token:
        claims = read_token(token, settings.auth.jwt_secret.get_secret_value())
        login_session_id = claims.login_session_id
        user = await _owner_of_token(sessions, claims)
    elif api_key:
        async with sessions() as session:
            user, api_key_id = await ApiKeyRepository(session).owner(api_key) or (None, None)
    if user is None or not user.is_active:
        raise UnauthorizedError("a valid bearer token or API key is required")
    bind_contextvars(user_id=str(user.user_id))
    return Caller(user.user_id, cast("Role", user.role), api_key_id, login_session_id)


async def _owner_of_token(sessions: Sessions, claims: TokenClaims) -> User | None:
    """Return the user of a token, unless its session was revoked or the password has changed."""
    async with sessions() as session:
        user = await UserRepository(session).of_session(claims.user_id, claims.login_session_id)
    # Reason: a changed password invalidates the tokens that were issued with the old one.
    if user and claims.password_fingerprint not in {
        None,
        password_fingerprint(user.password_hash),
    }:
        return None
    return user


async def check_credentials(request: Request, *, is_needed: bool) -> Caller | None:
    """Identify the caller before the body is read, and keep the caller in the request's state.

    Args:
        request: Request whose headers are read.
        is_needed: Whether a request without credentials is refused.

    Returns:
        The caller; None for a request without credentials.

    Raises:
        UnauthorizedError: Credentials are wrong, or required and missing.
    """
    token, api_key = await _bearer(request), await _api_key(request)
    if not is_needed and not token and not api_key:
        return None
    sessions, settings = await get_sessions(request), await get_settings(request)
    return await _remember_caller(request, sessions, settings, token, api_key)


async def get_caller(
    connection: HTTPConnection,
    sessions: SessionsDep,
    settings: SettingsDep,
    token: Annotated[str | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_api_key)],
) -> Caller:
    """Return the caller, or refuse the request with 401."""
    cached: Caller | None = getattr(connection.state, "caller", None)
    return cached or await _remember_caller(connection, sessions, settings, token, api_key)


async def _remember_caller(
    connection: HTTPConnection,
    sessions: Sessions,
    settings: Settings,
    token: str | None,
    api_key: str | None,
) -> Caller:
    """Identify the caller, and keep the caller in the request's state."""
    caller = await authenticate(sessions, settings, token, api_key)
    connection.state.caller = caller
    return caller


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_admin(caller: CallerDep) -> Caller:
    """Return the caller if they are an administrator, or refuse the request with 403."""
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
    """Return the caller, or None without credentials; refuse wrong credentials with 401."""
    if not token and not api_key:
        return None
    cached: Caller | None = getattr(connection.state, "caller", None)
    return cached or await _remember_caller(connection, sessions, settings, token, api_key)


MaybeCallerDep = Annotated[Caller | None, Depends(get_maybe_caller)]


async def get_scope(
    caller: CallerDep,
    user_id: Annotated[
        UUID | None,
        Query(
            description="Only the items of this user. Only administrators may name another user."
        ),
    ] = None,
) -> UUID | None:
    """Return the user whose rows a list shows; None for all users, only for administrators.

    Raises:
        NotFoundError: The user does not exist, or is not visible to the caller.
    """
    if caller.scope is None:
        return user_id
    if user_id not in {None, caller.user_id}:
        raise NotFoundError("there is no such user")
    return caller.user_id


ScopeDep = Annotated[UUID | None, Depends(get_scope)]


async def get_paging(
    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of items.")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            max_length=CURSOR_LENGTH,
            # Reason: only documented, not checked here: a bad cursor has its own error code.
            json_schema_extra={"pattern": CURSOR_PATTERN},
            description="`next_cursor` of the previous page.",
        ),
    ] = None,
) -> Paging:
    """Return the page of a list that the caller asks for."""
    return Paging(limit, cursor)


PagingDep = Annotated[Paging, Depends(get_paging)]
