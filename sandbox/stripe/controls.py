"""`/_sandbox/*`: what tests use to look behind the API and to make things happen."""

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe.control_routes import Control, answered, control_routes
from sandbox.stripe.engine import Engine
from sandbox.stripe.faults import FaultPlan
from sandbox.stripe.objects.hosted import portal_configurations
from sandbox.stripe.objects.invoices import retries
from sandbox.stripe.objects.meters import meter_events
from sandbox.stripe.session import shown


class Advance(BaseModel):
    """How far the clock moves."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0)


class Retries(BaseModel):
    """After how many days each an unpaid invoice is tried again, and what follows the last try."""

    model_config = ConfigDict(extra="forbid")

    days: list[Annotated[float, Field(gt=0)]] = []
    then: Literal["cancel", "leave", "unpaid"] = "leave"


class Controls:
    """Handlers of the control routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    def routes(self) -> list[Route]:
        """Return the control routes."""
        table: list[Control] = [
            ("GET", "health", self._health),
            ("GET", "requests", self._requests),
            ("GET", "ledger", self._ledger),
            ("GET", "clock", self._clock),
            ("GET", "webhooks", self._pending),
            ("GET", "deviations", self._deviations),
            ("GET", "meter-errors", self._meter_errors),
            ("POST", "retries", self._retries),
            ("POST", "clock/advance", self._advance),
            ("POST", "portal-settings", self._save_portal),
            ("POST", "reset", self._reset),
        ]
        return control_routes(table)

    async def _health(self, _request: Request) -> Response:
        return answered({"status": "ok"})

    async def _requests(self, request: Request) -> Response:
        """Show all requests, or those about one customer, or those after a `seq`."""
        email = request.query_params.get("customer_email")
        where, values = ("AND customer_email = ?", (email,)) if email else ("", ())
        rows = self._store.db.rows(
            f"SELECT * FROM requests WHERE seq > ? {where} ORDER BY seq",  # noqa: S608
            int(request.query_params.get("after", 0)),
            *values,
        )
        items = [
            row | {"params": orjson.loads(row["params"]), "replayed": bool(row["replayed"])}
            for row in rows
        ]
        return answered({"items": items})

    async def _ledger(self, request: Request) -> Response:
        customer = request.query_params.get("customer")
        where, values = ("WHERE customer = ?", (customer,)) if customer else ("", ())
        rows = self._store.db.rows(f"SELECT * FROM ledger {where} ORDER BY seq", *values)  # noqa: S608
        return answered({"items": rows})

    async def _clock(self, _request: Request) -> Response:
        return answered({"now": self._engine.clock.now()})

    async def _pending(self, request: Request) -> Response:
        email = request.query_params.get("customer_email")
        return answered({"pending_count": self._engine.webhooks.pending_count(email)})

    async def _deviations(self, _request: Request) -> Response:
        return answered(self._engine.referee.report())

    async def _meter_errors(self, _request: Request) -> Response:
        items = await self._engine.carry_out(meter_events.unread)
        return answered({"items": items})

    async def _retries(self, request: Request) -> Response:
        wanted = Retries.model_validate_json(await request.body())
        retries.set_up(self._store, wanted.days, then=wanted.then)
        return answered(wanted.model_dump())

    async def _advance(self, request: Request) -> Response:
        wanted = Advance.model_validate_json(await request.body())
        await self._engine.scheduler.advance(wanted.seconds)
        self._engine.webhooks.wake()
        return answered({"now": self._engine.clock.now()})

    async def _save_portal(self, _request: Request) -> Response:
        return answered(shown(await self._engine.carry_out(portal_configurations.save_default)))

    async def _reset(self, _request: Request) -> Response:
        async with self._engine.writer:
            self._engine.faults.replace(FaultPlan())
            self._engine.limit.set(None)
            self._store.db.erase()
            self._engine.clock.reset()
        self._engine.scheduler.wake()
        self._engine.webhooks.wake()
        return answered({"status": "ok"})
