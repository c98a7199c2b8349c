"""Authenticates clients of streams: by the headers of REST, or by a ticket for browsers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection
from structlog.contextvars import bind_contextvars

from api.deps import Caller, CallerDep, SessionsDep, SettingsDep, authenticate
from api.http.routing import ApiRouter
from config import Settings
from database.accounts.api_keys import ApiKeyRepository
from database.accounts.tickets import TicketRepository
from database.accounts.users import ADMIN, UserRepository
from database.session import Sessions
from domain.errors import UnauthorizedError

TICKET_TTL = timedelta(seconds=60)

_AUDIENCE = "ticket"
_ALGORITHM = "HS256"
_REFUSED = "the ticket belongs to another stream, or is no longer valid"

router = ApiRouter()


class TicketOut(BaseModel):
    """A short-lived credential for one stream, for browsers, which cannot send headers there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ticket": "eyJ…", "expires_in": 60}]}
    )

    ticket: str
    expires_in: int


@dataclass(frozen=True)
class StreamClient:
    """The authenticated client of a stream.

    Args:
        caller: Caller whose rights the client has.
        ticket_id: TicketOut that the client sent; None for the headers of REST.
        is_ticket_fresh: Whether the ticket may still be bound to a stream.
    """

    caller: Caller
    ticket_id: UUID | None = None
    is_ticket_fresh: bool = False

    async def enter(self, sessions: Sessions, stream_id: UUID) -> None:
        """Bind a fresh ticket to the stream, or check that the ticket is bound to this stream.

        Raises:
            UnauthorizedError: The ticket is bound to another stream, or has expired unbound.
        """
        if self.ticket_id is None:
            return
        user_id = self.caller.user_id
        async with sessions.begin() as session:
            tickets = TicketRepository(session)
            if self.is_ticket_fresh:
                await tickets.bind(user_id, self.ticket_id, stream_id)
            is_good = await tickets.is_good_for(user_id, self.ticket_id, stream_id)
        if not is_good:
            raise UnauthorizedError(_REFUSED)

    async def end_ticket(self, sessions: Sessions) -> None:
        """Invalidate the ticket after the last message of the stream was sent."""
        if self.ticket_id is not None:
            async with sessions.begin() as session:
                await TicketRepository(session).end(self.caller.user_id, self.ticket_id)


Identify = Callable[[], Awaitable[StreamClient]]


@router.post("/api/v1/auth/ticket")
async def create_ticket(caller: CallerDep, settings: SettingsDep) -> TicketOut:
    """Create a ticket for the query parameter `ticket` of a stream.

    The ticket must open a stream within a minute. It stays valid for that stream, so that a browser
    can reconnect, until the stream has ended or the credential was revoked.
    """
    expires_at = datetime.now(UTC) + TICKET_TTL
    claims = {"sub": str(caller.user_id), "jti": str(uuid4()), "aud": _AUDIENCE, "exp": expires_at}
    if caller.api_key_id is not None:
        claims["key"] = str(caller.api_key_id)
    if caller.login_session_id is not None:
        claims["sid"] = str(caller.login_session_id)
    secret = settings.auth.jwt_secret.get_secret_value()
    ticket = jwt.encode(claims, secret, algorithm=_ALGORITHM)
    return TicketOut(ticket=ticket, expires_in=int(TICKET_TTL.total_seconds()))


async def identify(
    connection: HTTPConnection,
    sessions: Sessions,
    settings: Settings,
    ticket: str | None,
) -> StreamClient:
    """Identify the client of a stream by its ticket, or by the headers of REST.

    Raises:
        UnauthorizedError: No valid credential was sent.
    """
    if ticket is None:
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else None
        key = connection.headers.get("X-API-Key")
        return StreamClient(await authenticate(sessions, settings, bearer, key))
    claims = _read_ticket(ticket, settings.auth.jwt_secret.get_secret_value())
    user_id, key_id, login_session_id = claims["sub"], claims["key"], claims["sid"]
    async with sessions() as session:
        user = await UserRepository(session).of_session(user_id, login_session_id)
        is_revoked = key_id and not await ApiKeyRepository(session).not_revoked([key_id])
    if user is None or not user.is_active or is_revoked:
        raise UnauthorizedError(_REFUSED)
    role: Literal["admin", "user"] = "admin" if user.role == ADMIN else "user"
    bind_contextvars(user_id=str(user.user_id))
    is_fresh = claims["exp"] > datetime.now(UTC).timestamp()
    caller = Caller(user.user_id, role, key_id, login_session_id)
    return StreamClient(caller, claims["jti"], is_fresh)


def identifying(
    connection: HTTPConnection,
    sessions: SessionsDep,
    settings: SettingsDep,
    ticket: Annotated[
        str | None,
        Query(max_length=2_000, description="For browsers: from `POST /api/v1/auth/ticket`."),
    ] = None,
) -> Identify:
    """Return a function that identifies the client, to be called once errors can be sent."""
    return partial(identify, connection, sessions, settings, ticket)


IdentifyDep = Annotated[Identify, Depends(identifying)]


def _read_ticket(ticket: str, secret: str) -> dict[str, Any]:
    """Return the claims of a ticket; an expired ticket may still reconnect to its stream.

    Raises:
        UnauthorizedError: The signature or a claim is not valid.
    """
    try:
        claims = jwt.decode(
            ticket,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "jti", "exp", "aud"], "verify_exp": False},
        )
        ids = {name: UUID(claims[name]) for name in ("sub", "jti")}
        credentials = {
            name: UUID(claims[name]) if claims.get(name) else None for name in ("key", "sid")
        }
        return {**ids, **credentials, "exp": float(claims["exp"])}
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the ticket is not valid") from error
