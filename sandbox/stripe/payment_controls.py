"""Controls of what banks and networks do: cards, disputes, and how many calls Stripe takes."""

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe import cards
from sandbox.stripe.cards import TestCard
from sandbox.stripe.control_routes import answered, control_routes
from sandbox.stripe.declines import DECLINES
from sandbox.stripe.engine import Engine
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.payments import disputes
from sandbox.stripe.session import shown


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


class PaymentControls:
    """Handlers of these controls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return their routes."""
        return control_routes(
            [
                ("POST", "payment-methods", self._card),
                ("POST", "payment-methods/{id}/renew", self._renew),
                ("POST", "disputes", self._dispute),
                ("POST", "rate-limits", self._limit),
            ]
        )

    async def _card(self, request: Request) -> Response:
        wanted = ScriptedCard.model_validate_json(await request.body())
        # Reason: each is a card of its own, which networks and sellers know by its fingerprint.
        number = f"{secrets.randbelow(10**12):012}{wanted.last4}"
        card = TestCard(number, wanted.brand, tuple(wanted.script))
        expiry = {"exp_month": wanted.exp_month, "exp_year": wanted.exp_year}
        made = await self._engine.carry_out(
            lambda session: payment_methods.make(session, card, **expiry)
        )
        return answered(shown(made), 201)

    async def _renew(self, request: Request) -> Response:
        wanted = Renewal.model_validate_json(await request.body())
        changes = wanted.model_dump(exclude_none=True)
        renewed = await self._engine.carry_out(
            lambda session: payment_methods.renew(session, request.path_params["id"], changes)
        )
        return answered(shown(renewed))

    async def _dispute(self, request: Request) -> Response:
        wanted = DisputeWish.model_validate_json(await request.body())
        opened = await self._engine.carry_out(
            lambda session: disputes.start_by_id(session, wanted.charge, wanted.outcome)
        )
        return answered(shown(opened), 201)

    async def _limit(self, request: Request) -> Response:
        wanted = Limit.model_validate_json(await request.body())
        self._engine.limit.set(wanted.per_second)
        return answered(wanted.model_dump())
