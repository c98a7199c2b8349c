"""One run of an agent: the durable shell around its graph."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.agents.approvals import ApprovalCommand, ApprovalResult
    from domain.agents.runs import (
        MAX_UNREAD_MESSAGES,
        TOO_MANY_MESSAGES,
        CancelRun,
        NewRunMessage,
        RunStart,
        RunStatus,
    )
    from domain.workflow_names import RUN_NEXT
    from workflows.agents.activity_calls import RunActivityCalls
    from workflows.agents.graph_runner import GraphRunner
    from workflows.agents.lifecycle import (
        RunLifecycle,
        refused,
        run_shielded,
        unwrap_activity_error,
    )

BUSY = "busy"


@workflow.defn(name="AgentRunWorkflow")
class AgentRunWorkflow:
    """One execution per run; its id is `agent-run-{agent_run_id}`.

    Decisions and messages are written by their handlers, each by one activity in which PostgreSQL
    decides; the graph learns of them afterwards. So no handler ever waits for the graph.
    """

    @workflow.init
    def __init__(self, start: RunStart) -> None:
        self._start = start
        self._calls = RunActivityCalls(start.request)
        self._runner = GraphRunner(start, self._calls)
        self._lifecycle = RunLifecycle(start, self._calls, self._runner)

    @workflow.run
    async def run(self, start: RunStart) -> RunStatus:
        """Wait for the conversation, run the graph to its end, and write down how it ended.

        Args:
            start: What to do, or where the run before stood.

        Raises:
            ApplicationError: The run was refused: no access, a limit, a busy conversation.
        """
        await run_shielded(self._lifecycle, self._lifecycle.open())
        end = await run_shielded(self._lifecycle, self._lifecycle.work())
        if end is None:  # nobody waits for us, and there is no await before the next line
            state = {
                "step": self._runner.step,
                "is_resumed": True,
                "message_count": self._runner.message_count,
            }
            workflow.continue_as_new(start.model_copy(update=state))
        await run_shielded(self._lifecycle, self._lifecycle.close(end))
        await workflow.wait_condition(workflow.all_handlers_finished)  # they see that we closed
        return end.run_status

    @workflow.update
    async def decide(self, command: ApprovalCommand) -> ApprovalResult:
        """Decide a call that waits for somebody's yes.

        Args:
            command: Its id is the update's id.

        Returns:
            How it is decided; the same decision again gets the same answer.

        Raises:
            ApplicationError: Not this person, other arguments, too late, or decided otherwise.
        """
        dated = command.model_copy(update={"at": workflow.now()})
        verdict = await unwrap_activity_error(self._calls.decide(dated))
        self._runner.on_decision(verdict)
        return verdict

    @decide.validator
    def _may_decide(self, command: ApprovalCommand) -> None:
        self._refuse_while_rotating()

    @workflow.update
    async def add_message(self, message: NewRunMessage) -> None:
        """Add what the user says while the run goes on, or is in line; the next step reads it.

        Args:
            message: Its id is the update's id.

        Raises:
            ApplicationError: The run is over.
        """
        self._runner.expect_message()
        try:
            await self._lifecycle.wait_in_line()
            await self._calls.add_message(message)
        except BaseException:
            self._runner.forget_message()
            raise
        self._runner.find_message()

    @add_message.validator
    def _may_add(self, message: NewRunMessage) -> None:
        if self._lifecycle.is_closed or self._lifecycle.is_canceled or self._runner.is_over:
            raise refused(self._lifecycle.status)
        self._refuse_while_rotating()
        if self._runner.unstored_count >= MAX_UNREAD_MESSAGES:
            raise ApplicationError(
                "the run has many messages that the model has not read yet; try again later",
                type=TOO_MANY_MESSAGES,
            )

    def _refuse_while_rotating(self) -> None:
        """Let a command wait for the next execution: more of them would put that off for ever."""
        if self._lifecycle.is_continuing:
            raise ApplicationError("the run continues as new, try again", type=BUSY)

    @workflow.update
    async def cancel(self, command: CancelRun) -> RunStatus:
        """End the run: a model's call at once, a tool's effect after it is complete.

        Args:
            command: Its id is the update's id.

        Returns:
            How the run ended, which may be otherwise if it was just ending.
        """
        self._lifecycle.is_canceled = True
        await workflow.wait_condition(lambda: self._lifecycle.is_closed)
        return self._lifecycle.status

    @cancel.validator
    def _may_cancel(self, command: CancelRun) -> None:
        if self._lifecycle.is_closed:
            raise refused(self._lifecycle.status)

    @workflow.signal(name=RUN_NEXT)
    def run_next(self) -> None:
        """The run before us in the conversation is over."""
        self._lifecycle.is_next = True

    @workflow.query
    def view(self) -> RunStatus:
        """Return the status without touching history."""
        return self._lifecycle.status
