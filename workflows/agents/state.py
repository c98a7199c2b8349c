"""State of one agent run, shared by its workflow, its lifecycle and its graph."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.agents.approvals import ApprovalResult
    from domain.agents.runs import RunFinish, RunStart, RunStatus
    from workflows.search_attributes import STATUS


@dataclass
class RunState:
    """State of one run.

    Args:
        start: Input of the workflow.
        status: Status of the run, as shown in the Web UI.
        step: Number of the next step.
        finish: Why the model stopped, if the run has its answer.
        message_count: Messages that were added to the run, also those that are not stored yet.
        stored_count: Messages that were added to the run and are stored.
        decided: Decisions about tool calls, by the call's id.
        effects: Approved tool calls under way.
        members: Tasks of the team's members that the last step started.
        raise_count: How often the budget has been raised.
        interrupt_count: How often a message has stopped the answer under way.
        is_first: Whether no older run of the conversation is open.
        is_next: Whether the previous run of the conversation has signalled its end.
        is_canceled: Whether the run was canceled.
        is_over: Whether the graph has ended for good, so that no message can be read any more.
        is_continuing: Whether the workflow is about to continue as new.
        is_closed: Whether the end of the run is recorded.
        is_shown: Whether the search attribute has been changed since the start.
    """

    start: RunStart
    status: RunStatus = RunStatus.QUEUED
    step: int = field(init=False)
    finish: RunFinish = RunFinish.STOP
    message_count: int = field(init=False)
    stored_count: int = field(init=False)
    decided: dict[UUID, ApprovalResult] = field(default_factory=dict)
    effects: "set[asyncio.Future[None]]" = field(default_factory=set)
    members: "list[asyncio.Task[RunStatus]]" = field(default_factory=list)
    raise_count: int = 0
    interrupt_count: int = 0
    is_first: bool = field(init=False)
    is_next: bool = False
    is_canceled: bool = False
    is_over: bool = False
    is_continuing: bool = False
    is_closed: bool = False
    is_shown: bool = False

    def __post_init__(self) -> None:
        """Take over what earlier executions of the workflow carried on."""
        self.step = self.start.step
        self.message_count = self.stored_count = self.start.message_count
        self.is_first = self.is_resumed

    @property
    def agent_run_id(self) -> UUID:
        """Id of the run."""
        return self.start.request.agent_run_id

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier execution of the workflow has opened the run."""
        return self.start.is_resumed or self.start.step > 0

    @property
    def is_short(self) -> bool:
        """Whether the run takes the short sequence of commands: all but the oldest runs."""
        return self.start.revision > 1

    @property
    def unstored_count(self) -> int:
        """Number of messages that are not stored yet."""
        return self.message_count - self.stored_count

    @property
    def is_history_long(self) -> bool:
        """Whether the history is so long that the run should continue as new."""
        length = workflow.info().get_current_history_length()
        return length >= self.start.continue_as_new_after

    def hide(self) -> None:
        """Take the status of a refused run out of the Web UI."""
        if self.is_short:
            workflow.upsert_search_attributes([STATUS.value_unset()])

    def publish(self, status: RunStatus) -> None:
        """Set the run's status, and show it in the Web UI."""
        self.status = status
        # Reason: a run starts with the search attribute of a run under way.
        if not (self.is_short and status is RunStatus.RUNNING and not self.is_shown):
            workflow.upsert_search_attributes([STATUS.value_set(status)])
            self.is_shown = True
        request = self.start.request
        workflow.set_current_details(
            f"**{status}**: agent {request.agent}, prompt {request.prompt_version}, "
            f"user `{request.user_id}`"
        )
