"""Parked steps, as subscriptions, payment retries and payments show them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.common import Output


class ParkedStepOut(Output):
    """A step that could not be taken, and is tried again later."""

    step: str
    code: str
    message: str
    since: datetime

    @classmethod
    def list_of(cls, parked_data: Sequence[Mapping[str, Any]]) -> "list[ParkedStepOut]":
        """Render what a row keeps of its parked steps: the step, or the order that holds it."""
        return [cls.model_validate(each.get("parked") or each) for each in parked_data]


class Parkable(Output):
    """What can have parked steps."""

    is_parked: bool = Field(description="Whether a step could not be taken; see `parked`.")
    parked: list[ParkedStepOut]


def parked_facts(parked_data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of `Parkable` that a row decides."""
    steps = ParkedStepOut.list_of(parked_data)
    return {"is_parked": bool(steps), "parked": steps}
