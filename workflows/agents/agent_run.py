"""One run of an agent: the durable shell around its graph."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.agents.approvals import ApprovalCommand, Verdict
    from domain.agents.runs import (
        MAX_UNREAD_MESSAGES,
        TOO_MANY_MESSAGES,
        CancelRun,
        NewRunMessage,
        RunStart,
        RunStatus,
    )
    from domain.workflow_names import YOUR_TURN
    from workflows.agents.activity_calls import AgentDesk
    from workflows.agents.graph_runner import GraphDriver
    from workflows.agents.lifecycle import RunCourse, passed_on, refused, to_the_end

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
        self._desk = AgentDesk(start.request)
        self._driver = GraphDriver(start, self._desk)
        self._course = RunCourse(start, self._desk, self._driver)

    @workflow.run
    async def run(self, start: RunStart) -> RunStatus:
        """Wait for the conversation, drive the graph to its end, and write down how it ended.

        Args:
            start: What to do, or where the run before stood.

        Raises:
            ApplicationError: The run was refused: no access, a limit, a busy conversation.
        """
        await to_the_end(self._course, self._course.open())
        end = await to_the_end(self._course, self._course.work())
        if end is None:  # nobody waits for us, and there is no await before the next line
            state = {
                "step": self._driver.step,
                "is_resumed": True,
                "message_count": self._driver.message_count,
            }
            workflow.continue_as_new(start.model_copy(update=state))
        await to_the_end(self._course, self._course.close(end))
        await workflow.wait_condition(workflow.all_handlers_finished)  # they see that we closed
        return end.run_status

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
        dated = command.model_copy(update={"at": workflow.now()})
        verdict = await passed_on(self._desk.decide(dated))
        self._driver.hear(verdict)
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
        self._driver.expect_message()
        try:
            await self._course.wait_in_line()
            await self._desk.add_message(message)
        except BaseException:
            self._driver.forget_message()
            raise
        self._driver.find_message()

    @add_message.validator
    def _may_add(self, message: NewRunMessage) -> None:
        if self._course.is_closed or self._course.is_canceled or self._driver.is_over:
            raise refused(self._course.status)
        self._refuse_while_rotating()
        if self._driver.unstored_count >= MAX_UNREAD_MESSAGES:
            raise ApplicationError(
                "the run has many messages that the model has not read yet; try again later",
                type=TOO_MANY_MESSAGES,
            )

    def _refuse_while_rotating(self) -> None:
        """Let a command wait for the next execution: more of them would put that off for ever."""
        if self._course.is_rotating:
            raise ApplicationError("the run continues as new, try again", type=BUSY)

    @workflow.update
    async def cancel(self, command: CancelRun) -> RunStatus:
        """End the run: a model's call at once, a tool's effect after it is complete.

        Args:
            command: Its id is the update's id.

        Returns:
            How the run ended, which may be otherwise if it was just ending.
        """
        self._course.is_canceled = True
        await workflow.wait_condition(lambda: self._course.is_closed)
        return self._course.status

    @cancel.validator
    def _may_cancel(self, command: CancelRun) -> None:
        if self._course.is_closed:
            raise refused(self._course.status)

    @workflow.signal(name=YOUR_TURN)
    def your_turn(self) -> None:
        """The run before us in the conversation is over."""
        self._course.is_called = True

    @workflow.query
    def view(self) -> RunStatus:
        """Return the status without touching history."""
        return self._course.status
