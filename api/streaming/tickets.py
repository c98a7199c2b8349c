"""Who may listen: the headers of REST, or a ticket where a browser cannot send any."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from api.deps import Caller, CallerDep, SettingsDep, authenticate
from api.routing import ApiRouter
from api.schemas.common import problems
from config import Settings
from database.session import Sessions
from database.tickets import use_ticket
from database.users import UserRepository
from domain.errors import UnauthorizedError

TICKET_TTL = timedelta(seconds=60)

_AUDIENCE = "ticket"
_ALGORITHM = "HS256"

router = ApiRouter()


class Ticket(BaseModel):
    """A pass to open one WebSocket, for browsers, which cannot send headers with it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ticket": "eyJ…", "expires_in": 60}]}
    )

    ticket: str
    expires_in: int


@router.post("/api/v1/auth/ticket", tags=["auth"], responses=problems(401, 503))
async def create_ticket(caller: CallerDep, settings: SettingsDep) -> Ticket:
    """Make a ticket for `?ticket=`: good for one WebSocket, within a minute."""
    expires_at = datetime.now(UTC) + TICKET_TTL
    claims = {"sub": str(caller.user_id), "jti": str(uuid4()), "aud": _AUDIENCE, "exp": expires_at}
    secret = settings.auth.jwt_secret.get_secret_value()
    ticket = jwt.encode(claims, secret, algorithm=_ALGORITHM)
    return Ticket(ticket=ticket, expires_in=int(TICKET_TTL.total_seconds()))


async def identify(
    connection: HTTPConnection,
    sessions: Sessions,
    settings: Settings,
    ticket: str | None,
) -> Caller:
    """Find out who asks, by ticket or by the headers of REST.

    Raises:
        UnauthorizedError: Nothing valid came.
    """
    if ticket is None:
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else None
        return await authenticate(sessions, settings, bearer, connection.headers.get("X-API-Key"))
    user_id, ticket_id = _read_ticket(ticket, settings.auth.jwt_secret.get_secret_value())
    async with sessions.begin() as session:
        is_first_use = await use_ticket(session, user_id, ticket_id)
        user = await UserRepository(session).get(user_id)
    if not is_first_use or user is None or not user.is_active:
        raise UnauthorizedError("the ticket was used before, or is not valid any more")
    return Caller(user.user_id, "admin" if user.role == "admin" else "user")


def _read_ticket(ticket: str, secret: str) -> tuple[UUID, UUID]:
    """Return whose ticket this is, and its own id.

    Raises:
        UnauthorizedError: It has run out, or we did not sign it.
    """
    try:
        claims = jwt.decode(
            ticket,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "jti", "exp", "aud"]},
        )
        return UUID(claims["sub"]), UUID(claims["jti"])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the ticket is not valid, or no longer") from error
