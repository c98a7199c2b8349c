"""What a run has written down outside its workflow: its beginning, its end, what people say."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.agents.approvals import ApprovalActivities
    from activities.agents.completion import EndingActivities
    from activities.agents.conversation_queue import LineActivities
    from activities.agents.retrieval import RetrievalActivities
    from activities.agents.runs import AgentDeskActivities
    from domain.agents.approvals import ApprovalCommand, ExpiryOrder, Verdict
    from domain.agents.runs import (
        CallRef,
        Closed,
        NewRunMessage,
        RunEnd,
        RunRequest,
        StepOrder,
        Turn,
    )
    from workflows.activity_options import LOOK_UP, RECORD
    from workflows.cancellation import or_canceled


class AgentDesk:
    """Everything that one run asks of others; only ids go out and come back."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._agent_run_id = request.agent_run_id

    async def open(self) -> Turn:
        """Write the row, or learn that the run is refused."""
        return await workflow.execute_activity_method(
            AgentDeskActivities.open_run,
            self._request,
            **RECORD,
            summary="admit",
        )

    async def take_turn(self) -> Turn:
        """Begin, if it is our turn in the conversation."""
        return await or_canceled(
            workflow.execute_activity_method(
                LineActivities.take_turn,
                self._request,
                **RECORD,
                summary="our turn?",
            ),
        )

    async def decide(self, command: ApprovalCommand) -> Verdict:
        """Write down what a person decided."""
        return await workflow.execute_activity_method(
            ApprovalActivities.decide_approval,
            command,
            **RECORD,
            summary=f"{command.decision} {command.call_id}",
        )

    async def expire(self, call: CallRef) -> Verdict:
        """Write down that nobody decided."""
        order = ExpiryOrder(
            agent_run_id=self._agent_run_id,
            call_id=call.call_id,
            at=workflow.now(),
        )
        return await or_canceled(
            workflow.execute_activity_method(
                ApprovalActivities.expire_approval,
                order,
                **RECORD,
                summary="silence is a no",
            ),
        )

    async def add_message(self, message: NewRunMessage) -> None:
        """Add what the user says meanwhile."""
        await workflow.execute_activity_method(
            AgentDeskActivities.add_run_message,
            message,
            **RECORD,
            summary="the user adds a message",
        )

    async def close(self, end: RunEnd) -> Closed:
        """Write down how the run ended."""
        return await workflow.execute_activity_method(
            EndingActivities.close_run,
            end,
            **RECORD,
            summary=end.run_status,
        )

    async def remember(self) -> None:
        """Keep question and answer among the user's memories; news that can wait, and get lost."""
        await workflow.execute_activity_method(
            RetrievalActivities.remember_run,
            StepOrder(agent_run_id=self._agent_run_id, step=0, at=workflow.now()),
            **LOOK_UP,
            summary="remember",
        )
