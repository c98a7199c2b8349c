"""Schemas of parked steps, as subscriptions, payment retries and payments show them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas.common import Output


class ParkedStepOut(Output):
    """A step that failed. It stays owed, and is tried again with growing pauses."""

    step: str
    code: str
    message: str
    since: datetime

    @classmethod
    def list_of(cls, parked_data: Sequence[Mapping[str, Any]]) -> "list[ParkedStepOut]":
        """Render the parked steps in a row; each entry is one, or an owed step that holds one."""
        return [cls.model_validate(each.get("parked") or each) for each in parked_data]


class Parkable(Output):
    """A resource that can have parked steps."""

    is_parked: bool = Field(description="Whether a step failed and is parked; see `parked`.")
    parked: list[ParkedStepOut]


def parked_facts(parked_data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of `Parkable` for a row."""
    steps = ParkedStepOut.list_of(parked_data)
    return {"is_parked": bool(steps), "parked": steps}
