"""What crosses the border of `AgentRunWorkflow` and its activities: ids and decisions only."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from domain.base import Frozen

CONTINUE_AS_NEW_AFTER = 1_000
# So many messages may wait until the model reads them; more are refused.
MAX_UNREAD_MESSAGES = 100
TOO_MANY_MESSAGES = "too_many_messages"


class RunStatus(StrEnum):
    """Where a run can stand."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    BUDGET_EXCEEDED = "budget_exceeded"


CLOSED = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BUDGET_EXCEEDED},
)


class RunFinish(StrEnum):
    """Why the model stopped writing the answer of a run; only `stop` completes it."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    EMPTY = "empty"


# What is told of a run that failed because its answer is none, or not whole.
FINISH_MESSAGES = {
    RunFinish.LENGTH: "the answer is cut: it reached the length that the model may write",
    RunFinish.CONTENT_FILTER: "the provider's content filter stopped the answer",
    RunFinish.REFUSAL: "the model refused to answer",
    RunFinish.EMPTY: "the model gave no answer",
}


class OnBusy(StrEnum):
    """What a new run does while another one of its conversation is not over."""

    ENQUEUE = "enqueue"
    REJECT = "reject"


class Budget(Frozen):
    """What a run may use up; None means no bound of its own, the plan's limits hold anyway."""

    token_count: int | None = Field(default=None, gt=0)
    cost_cents: int | None = Field(default=None, gt=0)


class RunRequest(Frozen):
    """What a new run is to do; everything is resolved, nothing is looked up later.

    Args:
        agent_run_id: Ours.
        user_id: Whose run it is, and whose means it uses.
        agent: Which spec.
        prompt_version: Pinned for the whole run.
        input: The user's words.
        conversation_id: Where they are added; made if it is not there.
        budget: Of this run.
        on_busy: What to do while the conversation is busy.
    """

    agent_run_id: UUID
    user_id: UUID
    agent: str
    prompt_version: str
    input: str
    conversation_id: UUID
    budget: Budget = Budget()
    on_busy: OnBusy = OnBusy.ENQUEUE


class Route(Frozen):
    """What the graph needs of the agent's spec; it travels, so that old runs keep theirs."""

    has_retrieval: bool = True
    max_step_count: int = Field(default=12, gt=0)


class RunStart(Frozen):
    """Argument of `AgentRunWorkflow.run`: everything that a run needs of the run before it.

    Args:
        request: What to do.
        route: How the graph goes.
        step: The next step, or the one whose calls wait for a decision.
        is_resumed: The run goes on after a continue-as-new; it was admitted before.
        message_count: How many messages were added to the run before it continued as new.
        continue_as_new_after: Events of history after which the run continues as new.
    """

    request: RunRequest
    route: Route = Route()
    step: int = 0
    is_resumed: bool = False
    message_count: int = 0
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class StepInput(Frozen):
    """Argument of the activities of a step.

    Args:
        agent_run_id: Which run.
        step: Its how many-th call of the model, from 0.
        at: The workflow's time, from which approvals expire.
    """

    agent_run_id: UUID
    step: int
    at: datetime


class CallRef(Frozen):
    """A tool call that a model asked for; its arguments stay in the database.

    Args:
        call_id: Ours.
        tool: Its name.
        expires_at: Until when somebody may approve it; None if nobody need.
        is_decided: Somebody has decided, or the time was over, before the run continued as new.
    """

    call_id: UUID
    tool: str
    expires_at: datetime | None = None
    is_decided: bool = False


class StepReply(Frozen):
    """What came of a step.

    Args:
        calls: To be made before the next step; malformed ones are answered already.
        is_answer: The model asked for nothing more.
        is_cut_by_budget: The answer ends where the budget did.
        finish: Why the model stopped, if this is the answer.
        read_count: How many messages that were added to the run the model has read; None if that
            is not known any more.
    """

    calls: tuple[CallRef, ...] = ()
    is_answer: bool
    is_cut_by_budget: bool = False
    finish: RunFinish = RunFinish.STOP
    read_count: int | None = None


class ToolCallInput(Frozen):
    """Argument of the activity that makes a tool call.

    Args:
        agent_run_id: Which run.
        call_id: Which call.
    """

    agent_run_id: UUID
    call_id: UUID


class NewRunMessage(Frozen):
    """What a user adds while a run is going on; `command_id` is also the update's id."""

    command_id: UUID
    agent_run_id: UUID
    content: str


class CancelRun(Frozen):
    """Ends a run; `command_id` is also the update's id."""

    command_id: UUID


class RunEnd(Frozen):
    """How a run ends, for the activity that writes it down."""

    agent_run_id: UUID
    run_status: RunStatus
    error_code: str | None = None
    error_message: str | None = None


class QueuePosition(Frozen):
    """Whether a run may begin: not while an older one of its conversation is open."""

    is_first: bool


class RunClosed(Frozen):
    """What closing a run brought: who is next in its conversation."""

    next_agent_run_id: UUID | None = None


class UsageTotal(Frozen):
    """What calls of models used up together."""

    agent_run_count: int = 0
    prompt_token_count: int = 0
    completion_token_count: int = 0
    cost_cents: Decimal = Decimal(0)

    @property
    def token_count(self) -> int:
        """Prompts and completions together."""
        return self.prompt_token_count + self.completion_token_count
