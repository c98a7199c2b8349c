"""One run of an agent: the durable shell around its graph."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from domain.agent_runs import (
        CancelRun,
        NewRunMessage,
        RunEnd,
        RunStart,
        RunStatus,
    )
    from domain.approvals import ApprovalCommand, Verdict
    from domain.errors import BudgetExceededError, IllegalCommandError
    from domain.ids import agent_run_workflow_id
    from workflows.agent_desk import AgentDesk
    from workflows.agent_graph import GraphDriver
    from workflows.signals import YOUR_TURN

# How long a lost "your turn" may hold a queued run up.
TURN_CHECK = timedelta(minutes=1)
_OUT_OF_MEANS = frozenset({BudgetExceededError.code, "price_unknown", "limit_reached"})


@workflow.defn(name="AgentRunWorkflow")
class AgentRunWorkflow:
    """One execution per run; its id is `agent-run-{agent_run_id}`.

    Decisions and messages are written by their handlers, each by one activity in which PostgreSQL
    decides; the graph learns of them afterwards.
    """

    @workflow.init
    def __init__(self, start: RunStart) -> None:
        self._start = start
        self._desk = AgentDesk(start.request)
        self._driver = GraphDriver(start, self._desk)
        self._status = RunStatus.QUEUED
        self._has_turn = False
        self._is_canceled = False
        self._is_closed = False

    @workflow.run
    async def run(self, start: RunStart) -> RunStatus:
        """Wait for the conversation, drive the graph to its end, and write down how it ended.

        Args:
            start: What to do, or where the run before stood.

        Returns:
            How it ended.

        Raises:
            ApplicationError: The run was refused: no access, a limit, a busy conversation.
        """
        if not start.step:
            opened = await self._open()
            self._has_turn = opened
        end = await self._work()
        await self._close(end)
        await workflow.wait_condition(workflow.all_handlers_finished)  # they see that we closed
        return end.run_status

    async def _open(self) -> bool:
        try:
            return (await self._desk.open()).is_now
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                raise _as_failure(error.cause) from error
            raise

    async def _work(self) -> RunEnd:
        """Let the graph run until it ends or somebody ends it."""
        work = asyncio.ensure_future(self._go())
        try:
            await workflow.wait_condition(lambda: work.done() or self._is_canceled)
        except asyncio.CancelledError:  # Temporal's own cancel, as from its Web UI
            self._is_canceled = True
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError, FailureError):
                await work
            await self._desk.finish_effects()
            return self._end(RunStatus.CANCELED)
        return await self._outcome(work)

    async def _outcome(self, work: asyncio.Future[bool]) -> RunEnd:
        try:
            is_cut = await work
        except ActivityError as error:
            cause = error.cause
            if not isinstance(cause, ApplicationError):
                return self._end(RunStatus.FAILED, "step_failed", "a step did not end in time")
            return self._failed(cause)
        except ApplicationError as error:
            return self._failed(error)
        if is_cut:
            message = "the answer ends where the budget did"
            return self._end(RunStatus.BUDGET_EXCEEDED, BudgetExceededError.code, message)
        return self._end(RunStatus.COMPLETED)

    async def _go(self) -> bool:
        while not self._has_turn and not self._start.step:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._has_turn,
                    timeout=TURN_CHECK,
                    timeout_summary="our turn?",
                )
            self._has_turn = (await self._desk.take_turn()).is_now
        self._status = RunStatus.RUNNING
        return await self._driver.drive()

    async def _close(self, end: RunEnd) -> None:
        closed = await self._desk.close(end)
        self._status, self._is_closed = end.run_status, True
        if closed.next_agent_run_id is not None:
            waiting = agent_run_workflow_id(closed.next_agent_run_id)
            # Reason: one that has just ended needs no turn; one that did not hear asks by itself.
            with suppress(FailureError):
                await workflow.get_external_workflow_handle(waiting).signal(YOUR_TURN)
        if end.run_status is RunStatus.COMPLETED:
            with suppress(ActivityError):
                await self._desk.remember()

    def _end(self, status: RunStatus, code: str | None = None, text: str | None = None) -> RunEnd:
        agent_run_id = self._start.request.agent_run_id
        return RunEnd(
            agent_run_id=agent_run_id,
            run_status=status,
            error_code=code,
            error_message=text,
        )

    def _failed(self, cause: ApplicationError) -> RunEnd:
        is_poor = cause.type in _OUT_OF_MEANS
        status = RunStatus.BUDGET_EXCEEDED if is_poor else RunStatus.FAILED
        return self._end(status, cause.type or "internal_error", cause.message)

    @workflow.update
    async def decide(self, command: ApprovalCommand) -> Verdict:
        """Decide a call that waits for somebody's yes.

        Args:
            command: Its id is the update's id.

        Returns:
            How it is decided; the same decision again gets the same answer.

        Raises:
            ApplicationError: Not this person, other arguments, too late, or decided otherwise.
        """
        try:
            at = workflow.now()
            verdict = await self._desk.decide(command.model_copy(update={"at": at}))
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                raise _as_failure(error.cause) from error
            raise
        self._driver.hear(verdict)
        return verdict

    @workflow.update
    async def add_message(self, message: NewRunMessage) -> None:
        """Add what the user says while the run goes on; the next step reads it.

        Args:
            message: Its id is the update's id.

        Raises:
            ApplicationError: The run is over, or about to be.
        """
        self._driver.expect_message()
        try:
            await self._desk.add_message(message)
        finally:
            self._driver.find_message()

    @add_message.validator
    def _may_add(self, message: NewRunMessage) -> None:
        if self._is_closed or self._is_canceled or self._driver.is_over:
            raise _refused(self._status)

    @workflow.update
    async def cancel(self, command: CancelRun) -> RunStatus:
        """End the run: a model's call at once, a tool's effect after it is complete.

        Args:
            command: Its id is the update's id.

        Returns:
            How the run ended, which may be otherwise if it was just ending.

        Raises:
            ApplicationError: The run is over.
        """
        self._is_canceled = True
        await workflow.wait_condition(lambda: self._is_closed)
        return self._status

    @cancel.validator
    def _may_cancel(self, command: CancelRun) -> None:
        if self._is_closed:
            raise _refused(self._status)

    @workflow.signal(name=YOUR_TURN)
    def your_turn(self) -> None:
        """The run before us in the conversation is over."""
        self._has_turn = True

    @workflow.query
    def view(self) -> RunStatus:
        """Return the status without touching history."""
        return self._status


def _as_failure(cause: ApplicationError) -> ApplicationError:
    return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)


def _refused(status: RunStatus) -> ApplicationError:
    return ApplicationError(
        f"the run is {status}",
        {"run_status": status},
        type=IllegalCommandError.code,
    )
