"""Schemas of the events of a run, as its WebSocket and its server-sent events send them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.common import Output
from domain.agents.approvals import ApprovalStatus, DecidedVia
from domain.agents.run_events import RunEventKind as Kind
from domain.agents.runs import RunFinish, RunStatus
from domain.llm.messages import FinishReason, Role


class _RunEvent(Output):
    """One event of a run; numbers have no gaps."""

    seq: int = Field(ge=1, description="Number of the event; send the last one as `after`.")
    created_at: datetime


class StatusDataOut(Output):
    """The new status of the run."""

    run_status: RunStatus


class StatusEventOut(_RunEvent):
    """The status of the run changed."""

    kind: Literal[Kind.STATUS]
    data: StatusDataOut


class CitedPassageOut(Output):
    """A passage that the model reads, under the number by which it may cite it."""

    number: int
    document_id: UUID
    suspicions: list[str]


class SkippedOut(Output):
    """Why the retrieval of passages was left out."""

    code: str
    message: str


class ModelCallDataOut(Output):
    """A model call begins."""

    step: int
    attempt: int
    model: str


class RetrievalDataOut(Output):
    """Passages were retrieved."""

    step: Literal["retrieve"]
    passages: list[CitedPassageOut]
    skipped: SkippedOut | None = None


class WaitingDataOut(Output):
    """The run waits for an outside system."""

    step: str = Field(description="`retrieve`, or the name of a tool.")
    waiting_for: str


class StepEventOut(_RunEvent):
    """A step began, has its passages, or waits for an outside system."""

    kind: Literal[Kind.STEP]
    data: ModelCallDataOut | RetrievalDataOut | WaitingDataOut


class TokenDataOut(Output):
    """Text of one attempt; after a new `attempt` of a step, drop the text of earlier ones."""

    text: str
    attempt: int
    step: int


class TokenEventOut(_RunEvent):
    """The model wrote some text."""

    kind: Literal[Kind.TOKEN]
    data: TokenDataOut


class ToolCallDataOut(Output):
    """A tool call that the model asks for."""

    call_id: UUID
    tool: str
    arguments: dict[str, Any]


class ToolCallEventOut(_RunEvent):
    """The model asked for a tool call."""

    kind: Literal[Kind.TOOL_CALL]
    data: ToolCallDataOut


class ToolResultDataOut(Output):
    """The result of a tool call, or why it was not made."""

    call_id: UUID
    tool: str
    result: dict[str, Any]
    suspicions: list[str] = Field(default=[], description="Signs of instructions to the model.")


class ToolResultEventOut(_RunEvent):
    """A tool call was made or refused."""

    kind: Literal[Kind.TOOL_RESULT]
    data: ToolResultDataOut


class ApprovalRequestedDataOut(Output):
    """What is to be approved; send `call_id` and `args_sha256` with the decision."""

    call_id: UUID
    tool: str
    arguments: dict[str, Any]
    args_sha256: str
    effect: dict[str, Any] | None
    expires_at: datetime


class ApprovalRequestedEventOut(_RunEvent):
    """A tool call waits for approval."""

    kind: Literal[Kind.APPROVAL_REQUESTED]
    data: ApprovalRequestedDataOut


class ApprovalDecidedDataOut(Output):
    """A decision about a tool call."""

    call_id: UUID
    decision: ApprovalStatus
    reason: str | None
    decided_via: DecidedVia | None = None


class ApprovalDecidedEventOut(_RunEvent):
    """An approval was given, refused or has expired."""

    kind: Literal[Kind.APPROVAL_DECIDED]
    data: ApprovalDecidedDataOut


class AnswerDataOut(Output):
    """A complete answer of the model to one step."""

    role: Literal[Role.ASSISTANT]
    text: str
    step: int
    attempt: int
    finish_reason: FinishReason
    suspicions: list[str] = Field(
        default=[],
        description="`unknown_image`, `unknown_link`, `prompt_leak`: what it should not do.",
    )


class InputDataOut(Output):
    """A message of the user."""

    role: Literal[Role.USER]
    text: str
    suspicions: list[str]


class MessageEventOut(_RunEvent):
    """A message was added to the conversation."""

    kind: Literal[Kind.MESSAGE]
    data: AnswerDataOut | InputDataOut


class ErrorDataOut(Output):
    """Why the run did not complete."""

    code: str
    message: str | None


class ErrorEventOut(_RunEvent):
    """The run did not complete; `done` follows."""

    kind: Literal[Kind.ERROR]
    data: ErrorDataOut


class DoneDataOut(Output):
    """The final status of the run."""

    run_status: RunStatus
    finish_reason: RunFinish | None


class DoneEventOut(_RunEvent):
    """The run has ended; this is its last event."""

    kind: Literal[Kind.DONE]
    data: DoneDataOut


RunEventOut = Annotated[
    StatusEventOut
    | StepEventOut
    | TokenEventOut
    | ToolCallEventOut
    | ToolResultEventOut
    | ApprovalRequestedEventOut
    | ApprovalDecidedEventOut
    | MessageEventOut
    | ErrorEventOut
    | DoneEventOut,
    Field(discriminator="kind"),
]
