"""Inputs and results of `AgentRunWorkflow` and its activities: ids and decisions only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.agents.routes import Budget, Route, TeamRules
from domain.base import Frozen
from domain.errors import BudgetExceededError
from domain.llm.batches import Urgency

CONTINUE_AS_NEW_AFTER = 1_000
# Limit of messages that the model has not read yet; more are refused.
MAX_UNREAD_MESSAGES = 100
TOO_MANY_MESSAGES = "too_many_messages"
# Revision of the sequence of commands of new runs; runs that have begun keep their own.
RUN_REVISION = 2


class RunStatus(StrEnum):
    """The status of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    WAITING_INPUT = "waiting_input"
    WAITING_BUDGET = "waiting_budget"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    BUDGET_EXCEEDED = "budget_exceeded"


CLOSED = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BUDGET_EXCEEDED},
)


# The run goes on as soon as a person has decided or answered, or has raised its budget.
WAITING = frozenset(
    {RunStatus.WAITING_APPROVAL, RunStatus.WAITING_INPUT, RunStatus.WAITING_BUDGET},
)


class RunFinish(StrEnum):
    """How the model's last answer ended; only `stop` completes the run."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    EMPTY = "empty"
    OUTPUT_INVALID = "output_invalid"


# Error messages of runs that failed because the answer is missing or incomplete.
FINISH_MESSAGES = {
    RunFinish.LENGTH: "the answer is cut off: it reached the maximum length",
    RunFinish.CONTENT_FILTER: "the provider's content filter stopped the answer",
    RunFinish.REFUSAL: "the model refused to answer",
    RunFinish.EMPTY: "the model gave no answer",
    RunFinish.OUTPUT_INVALID: "the answer is not the JSON that the agent has to give",
}


class OnBusy(StrEnum):
    """What a new run does while another run of its conversation is open."""

    ENQUEUE = "enqueue"
    REJECT = "reject"


class OnBudget(StrEnum):
    """What a run does when its budget, or the plan's limit, does not suffice for its next step."""

    END = "end"
    WAIT = "wait"


class ParentRun(Frozen):
    """The run that began another one.

    Args:
        agent_run_id: The run whose team the other one belongs to.
        root_run_id: The run that a user began, above all others.
        call_id: The call of `delegate` that the other run answers.
    """

    agent_run_id: UUID
    root_run_id: UUID
    call_id: UUID


class RunRequest(Frozen):
    """Request for a new run; all its values are final, and none is looked up later.

    Args:
        agent_run_id: Our id of the run.
        user_id: Owner of the run, whose allowance it uses.
        agent: Name of the agent's spec.
        prompt_version: Prompt version of the whole run.
        input: Text of the user.
        conversation_id: Conversation to add the input to; created if it does not exist.
        budget: Budget of this run.
        on_busy: What to do while another run of the conversation is open.
        on_budget: What to do when the budget is used up.
        urgency: How soon the answers are needed.
        parent: The run that began this one; None if a user did.
    """

    agent_run_id: UUID
    user_id: UUID
    agent: str
    prompt_version: str
    input: str
    conversation_id: UUID
    budget: Budget = Budget()
    on_busy: OnBusy = OnBusy.ENQUEUE
    on_budget: OnBudget = OnBudget.END
    urgency: Urgency = Urgency.NORMAL
    parent: ParentRun | None = None


class RunStart(Frozen):
    """Input of `AgentRunWorkflow.run`, with all that it carries over by continue-as-new.

    Args:
        request: Request for the run.
        route: Route through the graph.
        step: Number of the next step, or of the step whose tool calls wait for approval.
        is_resumed: Whether the workflow continued as new; the run was admitted before.
        message_count: Messages that were added to the run before it continued as new.
        continue_as_new_after: History events after which the workflow continues as new.
        revision: Revision of the sequence of commands. In 1, opening and closing a run, retrieving
            and storing the memory are steps of their own, and each status is shown as it is set.
    """

    request: RunRequest
    route: Route = Route()
    step: int = 0
    is_resumed: bool = False
    message_count: int = 0
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER
    revision: int = 1


class StepInput(Frozen):
    """Input of the activities of a step.

    Args:
        agent_run_id: Run to make the step of.
        step: Number of the step, from 0.
        at: Workflow time, from which the expiry of approvals is counted.
        is_retrieving: Whether passages are retrieved before the model is called.
        on_budget: What the run does when its budget is used up; one that waits asks for whole
            answers only, so that none is cut.
        urgency: How soon the answer is needed.
    """

    agent_run_id: UUID
    step: int
    at: datetime
    is_retrieving: bool = False
    on_budget: OnBudget = OnBudget.END
    urgency: Urgency = Urgency.NORMAL


class PlanInput(StepInput):
    """Input of the activity that plans a step of a team by rule.

    Args:
        pattern: Name of the pattern.
        team: Rules of the team, as they were when the run began.
    """

    pattern: str
    team: TeamRules


class CallRef(Frozen):
    """A tool call that a model asked for; its arguments stay in the database.

    Args:
        call_id: Our id of the call.
        tool: Name of the tool.
        expires_at: When the approval expires; None if the call needs no approval.
        is_decided: Whether the approval was decided or expired before continue-as-new.
        agent: The agent that a valid call of `delegate` or `hand_over` names; else None.
    """

    call_id: UUID
    tool: str
    expires_at: datetime | None = None
    is_decided: bool = False
    agent: str | None = None


class StepResult(Frozen):
    """Result of a step.

    Args:
        calls: Tool calls to make before the next step; malformed ones are already answered.
        is_answer: Whether the model gave its answer and asked for no tool calls.
        is_cut_by_budget: Whether the answer was cut because the budget ended.
        finish: Why the model stopped, if this is the answer.
        read_count: Added messages that the model has read so far; None if that is unknown.
    """

    calls: tuple[CallRef, ...] = ()
    is_answer: bool
    is_cut_by_budget: bool = False
    finish: RunFinish = RunFinish.STOP
    read_count: int | None = None


class ToolCallInput(Frozen):
    """Input of the activity that makes a tool call."""

    agent_run_id: UUID
    call_id: UUID


class OnBusyRun(StrEnum):
    """What a message does while its run is busy with a step."""

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


class NewRunMessage(Frozen):
    """A message that a user adds to an open run; `command_id` is also the id of the update.

    Args:
        command_id: Id of the command.
        agent_run_id: The run.
        content: Text of the message.
        is_interrupting: Whether the model's answer that is under way is stopped, so that the
            model reads the message at once. A tool call is always completed.
    """

    command_id: UUID
    agent_run_id: UUID
    content: str
    is_interrupting: bool = False


class RaiseBudget(Frozen):
    """Command that raises the budget of a run; `command_id` is also the id of the update.

    Args:
        command_id: Id of the command.
        agent_run_id: The run.
        budget: The new limits; None leaves a limit as it is.
    """

    command_id: UUID
    agent_run_id: UUID
    budget: Budget


class CancelRun(Frozen):
    """Command that cancels a run; `command_id` is also the id of the update."""

    command_id: UUID


class CloseRunInput(Frozen):
    """Input of the activity that closes a run: its final status and error.

    Args:
        agent_run_id: Run to close.
        run_status: Final status.
        error_code: Code of the error; None if there is none.
        error_message: Text of the error.
        is_remembered: Whether question and answer are to be stored as a memory of the user.
    """

    agent_run_id: UUID
    run_status: RunStatus
    error_code: str | None = None
    error_message: str | None = None
    is_remembered: bool = False


class QueuePosition(Frozen):
    """Whether a run may begin: it waits while an older run of its conversation is open."""

    is_first: bool


class CloseRunResult(Frozen):
    """Result of closing a run: the next run in its conversation."""

    next_agent_run_id: UUID | None = None


def waits_for_budget(policy: OnBudget, error_code: str | None) -> bool:
    """Tell whether a run waits after this error; a missing price comes by no wait."""
    return policy is OnBudget.WAIT and error_code == BudgetExceededError.code
