"""Schemas of what people say about a run: decisions about its tool calls, and answers."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from api.http.card_guard import refuse_card_number
from api.schemas.agent_runs import Text
from api.schemas.common import MASKED, Input
from domain.agents.approvals import Decision

MAX_ARGUMENTS_LENGTH = 16_000
MAX_REASON_LENGTH = 1_000
Reason = Annotated[str, StringConstraints(max_length=MAX_REASON_LENGTH), MASKED]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ApprovalIn(Input):
    """A decision about a tool call that waits for approval."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "call_id": "1de0a9b8-c7d6-4e5f-8a3b-2c1d0e9f8a7b",
                    "args_sha256": "9f86d081" * 8,
                    "decision": "approve",
                    "reason": "the train was late",
                }
            ]
        }
    )

    call_id: UUID
    args_sha256: Sha256 = Field(description="`args_sha256` of the pending approval.")
    decision: Decision
    arguments: dict[str, Any] | None = Field(
        default=None,
        description="Arguments to make the call with, in place of those of the model; with "
        "`approve` only.",
    )
    reason: Reason | None = None

    @field_validator("arguments")
    @classmethod
    def _refuse(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Refuse card numbers, and what is too long for a call."""
        text = refuse_card_number(orjson.dumps(value).decode())
        if len(text) > MAX_ARGUMENTS_LENGTH:
            raise ValueError(f"the arguments are longer than {MAX_ARGUMENTS_LENGTH} characters")
        return value

    @model_validator(mode="after")
    def _edits_what_it_approves(self) -> "ApprovalIn":
        if self.arguments is not None and self.decision is not Decision.APPROVE:
            raise ValueError("only an approval can change the arguments")
        return self


def _from_form(given: Any) -> Any:
    """Return the text of a form's field with plain line ends; None if it was left empty."""
    text = given.replace("\r\n", "\n") if isinstance(given, str) else given
    return None if isinstance(text, str) and not text.strip() else text


class LinkDecisionIn(Input):
    """The form on the page of a link in a mail."""

    decision: Decision
    reason: Annotated[Reason | None, BeforeValidator(_from_form)] = Field(
        default=None, description="Why; the answer, if the call is a question."
    )


class AnswerIn(Input):
    """The answer to a question of a run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "call_id": "1de0a9b8-c7d6-4e5f-8a3b-2c1d0e9f8a7b",
                    "content": "The one of last Friday.",
                }
            ]
        }
    )

    call_id: UUID
    content: Text
