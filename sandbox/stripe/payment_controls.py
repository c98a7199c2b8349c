"""Controls of what banks and networks do: cards, disputes, and how many calls Stripe takes."""

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.stripe import cards, declines
from sandbox.stripe.cards import TestCard
from sandbox.stripe.control_routes import answered, control_routes
from sandbox.stripe.engine import Engine
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.payments import disputes
from sandbox.stripe.session import shown


class ScriptedDecline(BaseModel):
    """A decline that says some fields otherwise; a null one is left out of what Stripe answers."""

    model_config = ConfigDict(extra="forbid")

    decline: str
    advice_code: Literal["confirm_card_data", "do_not_try_again", "try_again_later"] | None = None
    decline_code: str | None = None
    network_advice_code: str | None = None
    network_decline_code: str | None = None


class ScriptedCard(BaseModel):
    """A card to make: one script entry for each charge tried on it, the last repeating."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["card", "cashapp", "link", "sepa_debit", "us_bank_account"] = "card"
    script: Annotated[list[str | ScriptedDecline], Field(min_length=1)] = [cards.OK]
    brand: str = "visa"
    last4: str = Field(default="4242", pattern=r"^\d{4}$")
    exp_month: int | None = Field(default=None, ge=1, le=12)
    exp_year: int | None = Field(default=None, ge=1970, le=2100)

    @field_validator("script")
    @classmethod
    def _known(cls, script: list[str | ScriptedDecline]) -> list[str | ScriptedDecline]:
        return [_entry(given) for given in script]


def _entry(given: str | ScriptedDecline) -> str:
    """Return what a card keeps of one entry of its script: a word, or a decline with overrides.

    Raises:
        ValueError: If Stripe has no such decline or advice.
    """
    if isinstance(given, str):
        name, colon, advice = given.partition(":")
        if colon and advice not in {"none", *declines.ADVICE}:
            raise ValueError(f"{advice!r} is not one of: none, {', '.join(declines.ADVICE)}")
        overrides = {"advice_code": None if advice == "none" else advice} if colon else {}
    else:
        name = given.decline
        overrides = given.model_dump(exclude={"decline"}, exclude_unset=True)
    if given != cards.OK and name not in declines.DECLINES:
        known = ", ".join([cards.OK, *declines.DECLINES])
        raise ValueError(f"{name!r} is not one of: {known}")
    return declines.scripted(name, overrides)


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
        script = tuple(str(entry) for entry in wanted.script)
        if wanted.type != "card":
            other = await self._engine.carry_out(
                lambda session: payment_methods.make_other(session, wanted.type, script)
            )
            return answered(shown(other), 201)
        # Reason: each is a card of its own, which networks and sellers know by its fingerprint.
        number = f"{secrets.randbelow(10**12):012}{wanted.last4}"
        card = TestCard(number, wanted.brand, script)
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
