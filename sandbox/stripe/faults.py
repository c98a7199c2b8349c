"""Faults that tests switch on: the API's and the webhooks'."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Annotated[int, Field(ge=400, le=599)]


class ApiFault(BaseModel):
    """What goes wrong with the next requests that match."""

    model_config = ConfigDict(extra="forbid")

    match: str = Field(description="`METHOD /path`, with * for anything.")
    times: int | None = Field(default=None, ge=1, description="None: until cleared.")
    before: Status | None = Field(default=None, description="Answer this; nothing is done.")
    code: Literal["lock_timeout", "rate_limit"] = Field(
        default="rate_limit", description="Which 429 it is."
    )
    after: Status | None = Field(default=None, description="Do it, then answer and save this.")
    delay_seconds: float = Field(default=0, ge=0, description="Wait before doing it.")
    drop: bool = Field(default=False, description="Do it, then cut the connection.")


class WebhookFaults(BaseModel):
    """What goes wrong with deliveries."""

    model_config = ConfigDict(extra="forbid")

    drop: float = Field(default=0, ge=0, le=1, description="Share of attempts that get lost.")
    duplicate: int = Field(default=1, ge=1, description="How often each event is delivered.")
    shuffle: bool = False
    delay_seconds: float = Field(default=0, ge=0)
    off: bool = Field(default=False, description="Nothing is sent until this is cleared.")


class FaultPlan(BaseModel):
    """All faults in force."""

    model_config = ConfigDict(extra="forbid")

    api: list[ApiFault] = Field(default_factory=list)
    webhooks: WebhookFaults = Field(default_factory=WebhookFaults)


class Faults:
    """The plan in force, used up as requests match."""

    def __init__(self) -> None:
        self.plan = FaultPlan()

    def replace(self, plan: FaultPlan) -> None:
        """Put another plan in the place of this one."""
        self.plan = plan

    def take(self, method: str, path: str) -> ApiFault | None:
        """Return the first fault that this request meets, and count it."""
        for fault in self.plan.api:
            if fnmatchcase(f"{method} {path}", fault.match):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.plan.api.remove(fault)
                return fault
        return None
