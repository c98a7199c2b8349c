"""WebSockets: what happens to a subscription, as it happens, from any point on with no gap."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import jwt
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict
from starlette.websockets import WebSocketState

from api.deps import Caller, CallerDep, SessionsDep, SettingsDep, authenticate
from api.schemas.common import problems
from config import Settings
from database.models import SubscriptionEvent
from database.session import DATABASE_DOWN, Sessions
from database.subscription_events import SubscriptionEventRepository
from database.subscriptions import SubscriptionRepository
from database.tickets import use_ticket
from database.users import UserRepository
from domain.errors import NotFoundError, UnauthorizedError
from domain.subscriptions import FINAL

POLL_SECONDS = 0.2
# How long a subscription that has ended stays silent before its stream ends.
LINGER_SECONDS = 1.0
SEND_SECONDS = 20.0
BATCH_SIZE = 200
TICKET_TTL = timedelta(seconds=60)

CLOSE_DONE = 1000
CLOSE_TRY_AGAIN = 1013
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NOT_FOUND = 4404

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)
_AUDIENCE = "ticket"
_ALGORITHM = "HS256"

router = APIRouter(tags=["streams"])


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


@router.websocket("/ws/subscriptions/{subscription_id}")
async def stream_subscription(
    websocket: WebSocket,
    subscription_id: str,
    sessions: SessionsDep,
    settings: SettingsDep,
    after: Annotated[int, Query(ge=0)] = 0,
    ticket: Annotated[str | None, Query(max_length=2_000)] = None,
) -> None:
    """Send a subscription's events with a number above `after`, and go on as they happen."""
    # Reason: a socket refused before it was accepted shows browsers no code but 1006.
    await websocket.accept()
    try:
        caller = await _who(websocket, sessions, settings, ticket)
        is_final = await _find(sessions, subscription_id, caller)
        await _serve(websocket, sessions, UUID(subscription_id), after, is_final=is_final)
    except UnauthorizedError as error:
        await _close(websocket, CLOSE_UNAUTHENTICATED, error.message)
    except NotFoundError as error:
        await _close(websocket, CLOSE_NOT_FOUND, error.message)
    except _TRY_AGAIN:
        await _close(websocket, CLOSE_TRY_AGAIN, "try again, from the last number that you have")


async def _who(
    websocket: WebSocket,
    sessions: Sessions,
    settings: Settings,
    ticket: str | None,
) -> Caller:
    """Find out who asks, by ticket or by the headers of REST.

    Raises:
        UnauthorizedError: Nothing valid came.
    """
    if ticket is None:
        scheme, _, token = websocket.headers.get("Authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else None
        return await authenticate(sessions, settings, bearer, websocket.headers.get("X-API-Key"))
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


async def _find(sessions: Sessions, subscription_id: str, caller: Caller) -> bool:
    """Return whether the subscription has ended.

    Raises:
        NotFoundError: There is none of this caller.
    """
    with suppress(ValueError):
        async with sessions() as session:
            wanted = UUID(subscription_id)
            row = await SubscriptionRepository(session).get(wanted, caller.scope)
        if row is not None:
            return row.subscription_status in FINAL
    raise NotFoundError("there is no such subscription")


async def _serve(
    websocket: WebSocket,
    sessions: Sessions,
    subscription_id: UUID,
    after: int,
    *,
    is_final: bool,
) -> None:
    """Send until the client leaves or all is told; neither leaves a task behind."""
    sending = asyncio.create_task(
        _send_all(websocket, sessions, subscription_id, after, is_final=is_final),
    )
    leaving = asyncio.create_task(_until_gone(websocket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            with suppress(WebSocketDisconnect, RuntimeError):
                await sending
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send_all(
    websocket: WebSocket,
    sessions: Sessions,
    subscription_id: UUID,
    after: int,
    *,
    is_final: bool,
) -> None:
    """Send events in order; numbers have no gap, because they are taken under the row's lock.

    Raises:
        TimeoutError: The client takes nothing any more.
    """
    silent_seconds = 0.0
    while not is_final or silent_seconds < LINGER_SECONDS:
        # Reason: a poll is one indexed read that mostly finds nothing, and few people watch their
        # own billing. NOTIFY would cost every writer a global lock at commit and us a connection
        # that has to be watched, to save 100 ms on events that are minutes apart.
        events = await _read(sessions, subscription_id, after)
        for event in events:
            async with asyncio.timeout(SEND_SECONDS):
                await websocket.send_json(_message(event))
            after = event.seq
            is_final = is_final or _ends(event)
        silent_seconds = 0.0 if events else silent_seconds + POLL_SECONDS
        if len(events) < BATCH_SIZE:
            await asyncio.sleep(POLL_SECONDS)
    await _close(websocket, CLOSE_DONE, "the subscription has ended")


async def _read(
    sessions: Sessions,
    subscription_id: UUID,
    after: int,
) -> Sequence[SubscriptionEvent]:
    async with sessions() as session:
        return await SubscriptionEventRepository(session).list(subscription_id, after, BATCH_SIZE)


async def _until_gone(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive()


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code, reason)


def _message(event: SubscriptionEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "kind": event.kind,
        "data": {**event.event_data, "summary": event.summary},
        "created_at": event.occurred_at.isoformat(),
    }


def _ends(event: SubscriptionEvent) -> bool:
    return event.kind == "status_changed" and event.event_data.get("to") in FINAL
