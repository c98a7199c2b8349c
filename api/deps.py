"""What a route may ask for. Built once in the lifespan, handed out per request."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import Depends, Query
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from starlette.requests import HTTPConnection
from structlog.contextvars import bind_contextvars
from temporalio.client import Client

from adapters.stripe.customers import StripeCustomers
from api.tokens import read_token
from config import Settings
from database.api_keys import ApiKeyRepository
from database.models import User
from database.session import Sessions
from database.users import ADMIN, UserRepository
from domain.errors import ForbiddenError, UnauthorizedError

Role = Literal["user", "admin"]


def get_temporal(connection: HTTPConnection) -> Client:
    """Return the process's one Temporal client."""
    return cast("Client", connection.app.state.temporal)


def get_settings(connection: HTTPConnection) -> Settings:
    """Return the settings the process started with."""
    return cast("Settings", connection.app.state.settings)


def get_sessions(connection: HTTPConnection) -> Sessions:
    """Return what makes database sessions."""
    return cast("Sessions", connection.app.state.sessions)


def get_stripe_customers(connection: HTTPConnection) -> StripeCustomers:
    """Return what reads customers at Stripe."""
    return cast("StripeCustomers", connection.app.state.stripe_customers)


TemporalDep = Annotated[Client, Depends(get_temporal)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
SessionsDep = Annotated[Sessions, Depends(get_sessions)]
StripeCustomersDep = Annotated[StripeCustomers, Depends(get_stripe_customers)]


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    user_id: UUID
    role: Role

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
    if token:
        user_id = read_token(token, settings.auth.jwt_secret.get_secret_value())
        async with sessions() as session:
            user = await UserRepository(session).get(user_id)
    elif api_key:
        async with sessions() as session:
            user = await ApiKeyRepository(session).owner(api_key)
    if user is None or not user.is_active:
        raise UnauthorizedError("a valid bearer token or API key is needed")
    bind_contextvars(user_id=str(user.user_id))
    return Caller(user.user_id, cast("Role", user.role))


async def get_caller(
    sessions: SessionsDep,
    settings: SettingsDep,
    token: Annotated[str | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_api_key)],
) -> Caller:
    """Return who asks, or refuse with 401."""
    return await authenticate(sessions, settings, token, api_key)


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_admin(caller: CallerDep) -> Caller:
    """Return who asks if they are an administrator, or refuse with 403."""
    if caller.role != ADMIN:
        raise ForbiddenError("only an administrator may do this", "admin_required")
    return caller


AdminDep = Annotated[Caller, Depends(get_admin)]


async def get_maybe_caller(
    sessions: SessionsDep,
    settings: SettingsDep,
    token: Annotated[str | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_api_key)],
) -> Caller | None:
    """Return who asks, or None for a stranger; wrong credentials are still refused with 401."""
    if not token and not api_key:
        return None
    return await authenticate(sessions, settings, token, api_key)


MaybeCallerDep = Annotated[Caller | None, Depends(get_maybe_caller)]


def get_paging(
    limit: Annotated[int, Query(ge=1, le=200, description="Items at the most.")] = 50,
    cursor: Annotated[
        str | None,
        Query(max_length=300, description="`next_cursor` of the page before."),
    ] = None,
) -> Paging:
    """Return which part of a list is asked for."""
    return Paging(limit, cursor)


PagingDep = Annotated[Paging, Depends(get_paging)]
