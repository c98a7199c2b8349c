"""`/_sandbox/*`: what tests use to look behind the API and to make things happen."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe import cards
from sandbox.stripe.cards import TestCard
from sandbox.stripe.declines import DECLINES
from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.faults import FaultPlan
from sandbox.stripe.objects import disputes, payment_methods
from sandbox.stripe.session import shown
from sandbox.stripe.store import Row


class ScriptedCard(BaseModel):
    """A card to make: one script entry for each charge tried on it, the last repeating."""

    model_config = ConfigDict(extra="forbid")

    script: Annotated[list[str], Field(min_length=1)] = [cards.OK]
    brand: str = "visa"
    last4: str = Field(default="4242", pattern=r"^\d{4}$")
    exp_month: int | None = Field(default=None, ge=1, le=12)
    exp_year: int | None = Field(default=None, ge=1970, le=2100)

    @field_validator("script")
    @classmethod
    def _known(cls, script: list[str]) -> list[str]:
        unknown = [name for name in script if name != cards.OK and name not in DECLINES]
        if unknown:
            known = ", ".join([cards.OK, *DECLINES])
            raise ValueError(f"{unknown[0]!r} is not one of: {known}")
        return script


class Renewal(BaseModel):
    """What a bank changes on a card that it sends anew."""

    model_config = ConfigDict(extra="forbid")

    last4: str | None = Field(default=None, pattern=r"^\d{4}$")
    exp_month: int = Field(ge=1, le=12)
    exp_year: int = Field(ge=1970, le=2100)


class DisputeWish(BaseModel):
    """A dispute to open now, and how it is to end a week later."""

    model_config = ConfigDict(extra="forbid")

    charge: str
    outcome: Literal["lost", "won"]


class Limit(BaseModel):
    """How many requests a second are taken; None: any number."""

    model_config = ConfigDict(extra="forbid")

    per_second: int | None = Field(ge=1)


class Advance(BaseModel):
    """How far the clock moves."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)


def _readable(row: Row) -> Row:
    return row | {"params": orjson.loads(row["params"]), "replayed": bool(row["replayed"])}


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


class Controls:
    """Handlers of the control routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    def routes(self) -> list[Route]:
        """Return the control routes."""
        table: list[tuple[str, str, Callable[[Request], Any]]] = [
            ("GET", "health", self._health),
            ("GET", "requests", self._requests),
            ("GET", "ledger", self._ledger),
            ("GET", "clock", self._clock),
            ("GET", "webhooks", self._pending),
            ("GET", "deviations", self._deviations),
            ("POST", "payment-methods", self._card),
            ("POST", "payment-methods/{id}/renew", self._renew),
            ("POST", "disputes", self._dispute),
            ("POST", "rate-limits", self._limit),
            ("POST", "faults", self._plan),
            ("POST", "clock/advance", self._advance),
            ("POST", "reset", self._reset),
        ]
        return [
            Route(f"/_sandbox/{path}", _checked(handler), methods=[method])
            for method, path, handler in table
        ]

    async def _health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def _requests(self, _request: Request) -> Response:
        rows = self._store.db.rows("SELECT * FROM requests ORDER BY seq")
        return _json({"items": [_readable(row) for row in rows]})

    async def _ledger(self, _request: Request) -> Response:
        return _json({"items": self._store.db.rows("SELECT * FROM ledger ORDER BY seq")})

    async def _clock(self, _request: Request) -> Response:
        return _json({"now": self._engine.clock.now()})

    async def _pending(self, _request: Request) -> Response:
        return _json({"pending_count": self._engine.webhooks.pending_count()})

    async def _deviations(self, _request: Request) -> Response:
        return _json(self._engine.referee.report())

    async def _card(self, request: Request) -> Response:
        wanted = ScriptedCard.model_validate_json(await request.body())
        card = TestCard(wanted.last4, wanted.brand, tuple(wanted.script))
        expiry = {"exp_month": wanted.exp_month, "exp_year": wanted.exp_year}
        made = await self._engine.carry_out(
            lambda session: payment_methods.make(session, card, **expiry)
        )
        return _json(shown(made), 201)

    async def _renew(self, request: Request) -> Response:
        wanted = Renewal.model_validate_json(await request.body())
        changes = wanted.model_dump(exclude_none=True)
        renewed = await self._engine.carry_out(
            lambda session: payment_methods.renew(session, request.path_params["id"], changes)
        )
        return _json(shown(renewed))

    async def _dispute(self, request: Request) -> Response:
        wanted = DisputeWish.model_validate_json(await request.body())
        opened = await self._engine.carry_out(
            lambda session: disputes.start_by_id(session, wanted.charge, wanted.outcome)
        )
        return _json(shown(opened), 201)

    async def _limit(self, request: Request) -> Response:
        wanted = Limit.model_validate_json(await request.body())
        self._engine.limit.set(wanted.per_second)
        return _json(wanted.model_dump())

    async def _plan(self, request: Request) -> Response:
        plan = FaultPlan.model_validate_json(await request.body())
        self._engine.faults.replace(plan)
        self._engine.webhooks.wake()
        return _json(plan.model_dump())

    async def _advance(self, request: Request) -> Response:
        wanted = Advance.model_validate_json(await request.body())
        await self._engine.scheduler.advance(wanted.seconds)
        return _json({"now": self._engine.clock.now()})

    async def _reset(self, _request: Request) -> Response:
        async with self._engine.writer:
            self._engine.faults.replace(FaultPlan())
            self._engine.limit.set(None)
            self._store.db.erase()
            self._engine.clock.reset()
        self._engine.scheduler.wake()
        self._engine.webhooks.wake()
        return _json({"status": "ok"})


def _checked(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            answer: Response = await handler(request)
        except ValidationError as error:
            return _json({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)
        except ApiError as error:
            return _json({"error": error.error}, error.status)
        return answer

    return endpoint
