"""The implementations of the tools: one function per tool."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from agents.tools.refund_payment import REFUND_PAYMENT, RefundPayment
from agents.tools.search_memory import SEARCH_MEMORY, SearchMemory
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.payments.payments import PaymentRepository
from database.session import Sessions
from domain.agents.tool_calls import ToolCallStatus, refund_business_key
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import refund_id
from domain.payments.messages import RefundInput
from domain.payments.rules import RefundStatus
from services.agents.look_ups import CHROMA, EMBEDDINGS, LookUps
from services.knowledge.search import KnowledgeSearch
from services.payments.commands import PaymentCommands


class Effect(NamedTuple):
    """The outcome of a tool call.

    Args:
        status: The call's status in the ledger.
        result: The result that the model reads.
    """

    status: ToolCallStatus
    result: Mapping[str, Any]


class MemoryTool:
    """Implements `search_memory`."""

    def __init__(self, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._library = library
        self._look_ups = LookUps(sessions)

    async def search(self, run: AgentRun, call: ToolCall) -> Effect:
        """Search the memories of the run's owner only.

        Raises:
            UnavailableError: Chroma or the embedding model does not answer.
        """
        arguments = SearchMemory.model_validate(call.arguments_data)
        embedding = self._library.vector_of(arguments.query)
        vector = await self._look_ups.wait(run.agent_run_id, call.tool, EMBEDDINGS, embedding)
        searching = self._library.memories_near(run.user_id, vector, arguments.limit)
        found = await self._look_ups.wait(run.agent_run_id, call.tool, CHROMA, searching)
        texts = [memory.text for memory in found]
        return Effect(ToolCallStatus.DONE, {"memories": texts})


class RefundTool:
    """Implements `refund_payment`."""

    def __init__(self, commands: PaymentCommands, sessions: Sessions) -> None:
        self._commands = commands
        self._sessions = sessions

    async def refund(self, run: AgentRun, call: ToolCall) -> Effect:
        """Refund the amount that the approver saw, once per payment, amount and conversation.

        Raises:
            NotFoundError: The run's owner has no such payment.
            InvalidInputError: Nothing was left to refund when the approval was requested.
            ApplicationError: The payment cannot be refunded, or the outcome is not known yet.
        """
        arguments = RefundPayment.model_validate(call.arguments_data)
        key = refund_business_key(arguments.payment_id, arguments.amount_cents, run.conversation_id)
        owner_call_id = await self._claim(run, call, arguments.payment_id, key)
        approved_cents = await self._approved_cents(owner_call_id)
        if approved_cents == 0:
            message = "nothing was left to refund when the approval was requested"
            raise InvalidInputError(message, "refund_exceeds_payment", {"refundable_cents": 0})
        refund_input = RefundInput(
            payment_id=arguments.payment_id,
            # Reason: a second call for the same refund gets the refund of the first call.
            refund_id=refund_id(key, owner_call_id),
            # Reason: the refundable amount may have grown since the approval.
            amount_cents=arguments.amount_cents or approved_cents,
            reason=arguments.reason,
            requested_by=run.user_id,
        )
        refund = await self._commands.refund(refund_input)
        if refund.refund_status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
            return Effect(ToolCallStatus.FAILED, refund.model_dump(mode="json"))
        is_first = owner_call_id == call.call_id
        status = ToolCallStatus.DONE if is_first else ToolCallStatus.ALREADY_DONE
        return Effect(status, refund.model_dump(mode="json"))

    async def _claim(self, run: AgentRun, call: ToolCall, payment_id: UUID, key: str) -> UUID:
        """Return the id of the call that owns this refund; the payment must be the run owner's."""
        async with self._sessions.begin() as session:
            if await PaymentRepository(session).get(payment_id, run.user_id) is None:
                raise NotFoundError("this user has no such payment", "unknown_payment")
            earlier = await ToolCallRepository(session).claim(call.call_id, key)
            return earlier.call_id if earlier else call.call_id

    async def _approved_cents(self, call_id: UUID) -> int | None:
        """Return the amount that the approver saw; None for a call of an older release."""
        async with self._sessions() as session:
            approval = await ToolCallRepository(session).approval(call_id)
        effect = approval.effect_data if approval else None
        return int(effect["amount_cents"]) if effect else None


def tool_effects(
    library: KnowledgeSearch,
    commands: PaymentCommands,
    sessions: Sessions,
) -> dict[str, Any]:
    """Return the implementation of each tool, by its name."""
    return {
        SEARCH_MEMORY.name: MemoryTool(library, sessions).search,
        REFUND_PAYMENT.name: RefundTool(commands, sessions).refund,
    }
