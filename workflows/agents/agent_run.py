"""The workflow of one agent run, which drives the run's graph."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.agents.approvals import ApprovalCommand, ApprovalResult
    from domain.agents.runs import (
        MAX_UNREAD_MESSAGES,
        TOO_MANY_MESSAGES,
        CancelRun,
        NewRunMessage,
        RaiseBudget,
        RunStart,
        RunStatus,
    )
    from domain.workflow_names import AGENT_RUN_WORKFLOW, RUN_NEXT
    from workflows.agents import activity_calls, lifecycle
    from workflows.agents.lifecycle import refused, run_shielded, unwrap_activity_error
    from workflows.agents.state import RunState

BUSY = "busy"


@workflow.defn(name=AGENT_RUN_WORKFLOW)
class AgentRunWorkflow:
    """The workflow of one run; its id is `agent-run-{agent_run_id}`.

    Handlers of decisions and messages each call one activity, in which PostgreSQL decides; the
    graph gets the result afterwards. So a handler never waits for the graph.
    """

    @workflow.init
    def __init__(self, start: RunStart) -> None:
        self._state = RunState(start)
        self._end_reason: str | None = None

    @workflow.run
    async def run(self, start: RunStart) -> RunStatus:
        """Wait for earlier runs of the conversation, run the graph, and record how it ended.

        Args:
            start: The run's request, and its state if it continues as new.

        Raises:
            ApplicationError: The run was refused: no access, a reached limit, a busy conversation.
        """
        state = self._state
        await run_shielded(state, lifecycle.open_run(state))
        end = await run_shielded(state, lifecycle.work(state))
        if end is None:  # no handler is running, and there is no await before the next line
            kept = {
                "step": state.step,
                "is_resumed": True,
                "message_count": state.message_count,
            }
            workflow.continue_as_new(start.model_copy(update=kept))
        self._end_reason = end.error_code
        await run_shielded(state, lifecycle.close_run(state, end))
        await workflow.wait_condition(workflow.all_handlers_finished)  # they see the closed run
        return end.run_status

    @workflow.update
    async def decide(self, command: ApprovalCommand) -> ApprovalResult:
        """Decide a tool call that waits for an approval.

        Args:
            command: The decision; its id is the update's id.

        Returns:
            The call's decision; a repeated command gets the same result.

        Raises:
            ApplicationError: Wrong role, other arguments, too late, or decided otherwise.
        """
        dated_command = command.model_copy(update={"at": workflow.now()})
        result = await unwrap_activity_error(activity_calls.decide_approval(dated_command))
        self._state.decided[result.call_id] = result
        return result

    @decide.validator
    def _may_decide(self, command: ApprovalCommand) -> None:
        self._refuse_while_rotating()

    @workflow.update
    async def add_message(self, message: NewRunMessage) -> None:
        """Add a user's message to a queued or running run; the next step reads it.

        Args:
            message: The message; its id is the update's id.

        Raises:
            ApplicationError: The run is closed.
        """
        # Reason: the model has to read an announced message before the run ends.
        self._state.message_count += 1
        try:
            await lifecycle.wait_until_begun(self._state)
            await activity_calls.add_run_message(message)
        except BaseException:
            self._state.message_count -= 1
            raise
        self._state.stored_count += 1
        if message.is_interrupting:
            self._state.interrupt_count += 1

    @add_message.validator
    def _may_add(self, message: NewRunMessage) -> None:
        if self._state.is_closed or self._state.is_canceled or self._state.is_over:
            raise refused(self._state.status)
        self._refuse_while_rotating()
        if self._state.unstored_count >= MAX_UNREAD_MESSAGES:
            raise ApplicationError(
                "the run has too many messages that the model has not read yet; try again later",
                type=TOO_MANY_MESSAGES,
            )

    def _refuse_while_rotating(self) -> None:
        """Refuse commands while the run continues as new, because they would delay it forever."""
        if self._state.is_continuing:
            raise ApplicationError("the run continues as new; try again", type=BUSY)

    @workflow.update
    async def raise_budget(self, command: RaiseBudget) -> None:
        """Raise the budget of the run; one that waits for it goes on at the same step.

        Args:
            command: The command; its id is the update's id.

        Raises:
            ApplicationError: The run is closed, or a limit would be lowered.
        """
        await unwrap_activity_error(activity_calls.raise_budget(command))
        self._state.raise_count += 1

    @raise_budget.validator
    def _may_raise(self, command: RaiseBudget) -> None:
        if self._state.is_closed or self._state.is_canceled:
            raise refused(self._state.status)
        self._refuse_while_rotating()

    @workflow.update
    async def cancel(self, command: CancelRun) -> RunStatus:
        """Cancel the run: stop a model call at once, and a tool call after its effect is complete.

        Args:
            command: The command; its id is the update's id.

        Returns:
            The run's final status, which is not `canceled` if the run was just ending.
        """
        self._state.is_canceled = True
        await workflow.wait_condition(lambda: self._state.is_closed)
        return self._state.status

    @cancel.validator
    def _may_cancel(self, command: CancelRun) -> None:
        if self._state.is_closed:
            raise refused(self._state.status)

    @workflow.signal(name=RUN_NEXT)
    def run_next(self) -> None:
        """Note that the previous run of the conversation is closed."""
        self._state.is_next = True

    @workflow.query
    def view(self) -> RunStatus:
        """Return the run's status without adding to the history."""
        return self._state.status

    def log_fields(self) -> dict[str, str | None]:
        """Return fields for the log lines of the run's start and end."""
        request = self._state.start.request
        return {
            "user_id": str(request.user_id),
            "agent": request.agent,
            "prompt_version": request.prompt_version,
            "reason": self._end_reason,
        }
