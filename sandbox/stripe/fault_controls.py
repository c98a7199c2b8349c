"""Controls of what goes wrong, and of the time of single customers."""

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe.control_routes import answered, control_routes
from sandbox.stripe.engine import Engine
from sandbox.stripe.faults import FaultPlan
from sandbox.stripe.objects.system import test_clocks


class ClockOf(BaseModel):
    """Whose objects are to live on a test clock."""

    model_config = ConfigDict(extra="forbid")

    customer_email: str


class FaultControls:
    """Handlers of these controls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return their routes."""
        return control_routes(
            [
                ("GET", "faults", self._shown),
                ("POST", "faults", self._replace),
                ("PUT", "faults/{name}", self._put),
                ("DELETE", "faults/{name}", self._forget),
                ("POST", "test-clocks", self._clock),
            ]
        )

    async def _shown(self, _request: Request) -> Response:
        sets = self._engine.faults.shown()
        return answered({name: plan.model_dump() for name, plan in sets.items()})

    async def _replace(self, request: Request) -> Response:
        plan = FaultPlan.model_validate_json(await request.body())
        self._engine.faults.replace(plan)
        self._engine.webhooks.wake()
        return answered(plan.model_dump())

    async def _put(self, request: Request) -> Response:
        plan = FaultPlan.model_validate_json(await request.body())
        self._engine.faults.name(request.path_params["name"], plan)
        self._engine.webhooks.wake()
        return answered(plan.model_dump())

    async def _forget(self, request: Request) -> Response:
        self._engine.faults.forget(request.path_params["name"])
        self._engine.webhooks.wake()
        return answered({"status": "ok"})

    async def _clock(self, request: Request) -> Response:
        """Make a test clock that a customer of this address joins when they are made."""
        wanted = ClockOf.model_validate_json(await request.body())
        made = await self._engine.carry_out(
            lambda session: test_clocks.create_for(session, wanted.customer_email)
        )
        return answered(made, 201)
