"""Faults that tests switch on: the API's and the webhooks', for all or for one customer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sandbox.stripe.owners import Owner

Seconds = Annotated[float, Field(ge=0)]
Status = Annotated[int, Field(ge=400, le=599)]


class ErrorFields(BaseModel):
    """Fields of an error object; what is not given is absent, as at Stripe."""

    model_config = ConfigDict(extra="forbid")

    type: str | None = None
    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    message: str | None = None
    param: str | None = None


class ApiFault(BaseModel):
    """What goes wrong with the next requests that match."""

    model_config = ConfigDict(extra="forbid")

    match: str = Field(
        description="`METHOD /path`, with * for anything and {id} for one part of a path."
    )
    customer_email: str | None = Field(
        default=None, description="Only requests about this customer."
    )
    contains: str | None = Field(default=None, description="Only requests with this in a value.")
    user_agent: str | None = Field(
        default=None, description="Only requests whose User-Agent has this in it."
    )
    label: str | None = Field(default=None, description="What the log calls it.")
    skip: int = Field(default=0, ge=0, description="So many matching requests pass first.")
    times: int | None = Field(default=None, ge=1, description="None: until cleared.")
    before: Status | None = Field(default=None, description="Answer this; nothing is done.")
    code: str | None = Field(default=None, description="The error's code; a 429's is rate_limit.")
    error: ErrorFields = Field(default_factory=ErrorFields)
    saved: bool = Field(default=False, description="The key keeps what `before` answers.")
    after: Status | None = Field(default=None, description="Do it, then answer and save this.")
    delay_seconds: float = Field(default=0, ge=0, description="Wait before doing it.")
    delay_after_seconds: float = Field(default=0, ge=0, description="Do it, then wait.")
    drop: bool = Field(default=False, description="Do it, then cut the connection.")
    drop_before: bool = Field(default=False, description="Cut the connection; nothing is done.")
    body: str | None = Field(default=None, description="Send this in the place of the answer.")
    omit_null: bool = Field(default=False, description="Leave out every key that is null.")

    def meets(self, asked: "Met") -> bool:
        """Say whether a request is of those that it is for."""
        return (
            _is_like(self.match, f"{asked.method} {asked.path}")
            and self.customer_email in (None, asked.owner.email)
            and (self.contains is None or self.contains in asked.text)
            and (self.user_agent is None or self.user_agent in asked.user_agent)
        )


class WebhookFaults(BaseModel):
    """What goes wrong with deliveries."""

    model_config = ConfigDict(extra="forbid")

    drop: float = Field(default=0, ge=0, le=1, description="Share of attempts that get lost.")
    duplicate: int = Field(default=1, ge=1, description="How often each event is delivered.")
    shuffle: bool = False
    delay_seconds: float = Field(default=0, ge=0)
    hold_until_advanced_seconds: Seconds | tuple[Seconds, Seconds] | None = Field(
        default=None,
        description="Each event is held until the clock has moved so far; of two numbers, by a "
        "random one in between.",
    )
    off: bool = Field(default=False, description="Nothing is sent until this is cleared.")


class FaultPlan(BaseModel):
    """A set of faults; with an address all of them are for that customer alone."""

    model_config = ConfigDict(extra="forbid")

    customer_email: str | None = None
    api: list[ApiFault] = Field(default_factory=list)
    webhooks: WebhookFaults = Field(default_factory=WebhookFaults)


@dataclass(frozen=True)
class Met:
    """A request as faults see it."""

    method: str
    path: str
    owner: Owner
    text: str
    user_agent: str = ""


class Faults:
    """The sets in force: one without a name, and any number of named ones beside it."""

    def __init__(self) -> None:
        self.plan = FaultPlan()
        self._named: dict[str, FaultPlan] = {}

    def replace(self, plan: FaultPlan) -> None:
        """Put a set in the place of all others."""
        self.plan = plan
        self._named.clear()

    def name(self, name: str, plan: FaultPlan) -> None:
        """Put a set beside the others, in the place of the one of that name."""
        self._named[name] = plan

    def forget(self, name: str) -> None:
        """Take a named set away."""
        self._named.pop(name, None)

    def shown(self) -> dict[str, FaultPlan]:
        """Return all sets by name, that without one as an empty text."""
        return {"": self.plan, **self._named}

    def take(self, asked: Met) -> ApiFault | None:
        """Return the first fault that this request meets, and count it."""
        for plan in [*self._named.values(), self.plan]:
            if plan.customer_email not in (None, asked.owner.email):
                continue
            for fault in plan.api:
                if fault.meets(asked) and _is_counted(plan, fault):
                    return fault
        return None

    def webhooks(self, email: str | None) -> WebhookFaults:
        """Return what goes wrong with deliveries about one customer."""
        for plan in self._named.values():
            if plan.customer_email is not None and plan.customer_email == email:
                return plan.webhooks
        return self.plan.webhooks

    def held_back(self) -> Iterator[str]:
        """Yield the customers about whom nothing is sent."""
        for plan in self._named.values():
            if plan.webhooks.off and plan.customer_email is not None:
                yield plan.customer_email


def _is_like(match: str, text: str) -> bool:
    if "{id}" not in match:
        return fnmatchcase(text, match)
    pieces = [".*".join(map(re.escape, piece.split("*"))) for piece in match.split("{id}")]
    return re.fullmatch("[^/]+".join(pieces), text) is not None


def _is_counted(plan: FaultPlan, fault: ApiFault) -> bool:
    """Count a request that a fault meets, and say whether it is its turn."""
    if fault.skip:
        fault.skip -= 1
        return False
    if fault.times is not None:
        fault.times -= 1
        if fault.times == 0:
            plan.api.remove(fault)
    return True
