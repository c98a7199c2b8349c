"""Who may listen: the headers of REST, or a ticket where a browser cannot send any."""

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
from api.schemas.common import problems
from config import Settings
from database.accounts.api_keys import ApiKeyRepository
from database.accounts.tickets import TicketRepository
from database.accounts.users import ADMIN, UserRepository
from database.session import Sessions
from domain.errors import UnauthorizedError

TICKET_TTL = timedelta(seconds=60)

_AUDIENCE = "ticket"
_ALGORITHM = "HS256"
_REFUSED = "the ticket belongs to another stream, or is not valid any more"

router = ApiRouter()


class Ticket(BaseModel):
    """A pass for one stream, for browsers, which cannot send headers with it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ticket": "eyJ…", "expires_in": 60}]}
    )

    ticket: str
    expires_in: int


@dataclass(frozen=True)
class Visitor:
    """Who wants to listen.

    Args:
        caller: Whose rights they have.
        ticket_id: The ticket that they showed; None for the headers of REST.
        is_ticket_fresh: Whether the ticket may still be bound to a stream.
    """

    caller: Caller
    ticket_id: UUID | None = None
    is_ticket_fresh: bool = False

    async def enter(self, sessions: Sessions, stream_id: UUID) -> None:
        """Bind the ticket to the stream, if there is one, or see that it is bound to it.

        Raises:
            UnauthorizedError: It is bound to another stream, or came too late.
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

    async def leave_for_good(self, sessions: Sessions) -> None:
        """Note that all was told, so that the ticket opens nothing more."""
        if self.ticket_id is not None:
            async with sessions.begin() as session:
                await TicketRepository(session).end(self.caller.user_id, self.ticket_id)


Identify = Callable[[], Awaitable[Visitor]]


@router.post("/api/v1/auth/ticket", tags=["auth"], responses=problems(401, 503))
async def create_ticket(caller: CallerDep, settings: SettingsDep) -> Ticket:
    """Make a ticket for `?ticket=`.

    It has to open its stream within a minute. For that stream it stays good, so that a browser can
    come again after a break, until the stream has told its end or the credential was revoked.
    """
    expires_at = datetime.now(UTC) + TICKET_TTL
    claims = {"sub": str(caller.user_id), "jti": str(uuid4()), "aud": _AUDIENCE, "exp": expires_at}
    if caller.api_key_id is not None:
        claims["key"] = str(caller.api_key_id)
    secret = settings.auth.jwt_secret.get_secret_value()
    ticket = jwt.encode(claims, secret, algorithm=_ALGORITHM)
    return Ticket(ticket=ticket, expires_in=int(TICKET_TTL.total_seconds()))


async def identify(
    connection: HTTPConnection,
    sessions: Sessions,
    settings: Settings,
    ticket: str | None,
) -> Visitor:
    """Find out who asks, by ticket or by the headers of REST.

    Raises:
        UnauthorizedError: Nothing valid came.
    """
    if ticket is None:
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else None
        key = connection.headers.get("X-API-Key")
        return Visitor(await authenticate(sessions, settings, bearer, key))
    claims = _read_ticket(ticket, settings.auth.jwt_secret.get_secret_value())
    user_id, key_id = claims["sub"], claims["key"]
    async with sessions() as session:
        user = await UserRepository(session).get(user_id)
        is_revoked = key_id and not await ApiKeyRepository(session).not_revoked([key_id])
    if user is None or not user.is_active or is_revoked:
        raise UnauthorizedError(_REFUSED)
    role: Literal["admin", "user"] = "admin" if user.role == ADMIN else "user"
    bind_contextvars(user_id=str(user.user_id))
    is_fresh = claims["exp"] > datetime.now(UTC).timestamp()
    return Visitor(Caller(user.user_id, role, key_id), claims["jti"], is_fresh)


def identifying(
    connection: HTTPConnection,
    sessions: SessionsDep,
    settings: SettingsDep,
    ticket: Annotated[
        str | None,
        Query(max_length=2_000, description="For browsers; of `POST auth/ticket`."),
    ] = None,
) -> Identify:
    """Return what finds out who asks, to be called once its errors can be told."""
    return partial(identify, connection, sessions, settings, ticket)


IdentifyDep = Annotated[Identify, Depends(identifying)]


def _read_ticket(ticket: str, secret: str) -> dict[str, Any]:
    """Return what a ticket says, also one that can only come again.

    Raises:
        UnauthorizedError: We did not sign it.
    """
    try:
        claims = jwt.decode(
            ticket,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "jti", "exp", "aud"], "verify_exp": False},
        )
        key = claims.get("key")
        ids = {"sub": UUID(claims["sub"]), "jti": UUID(claims["jti"])}
        return {**ids, "key": UUID(key) if key else None, "exp": float(claims["exp"])}
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the ticket is not valid, or no longer") from error
