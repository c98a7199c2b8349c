"""What each tool does, for whoever runs the agent: one function a tool."""

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
    """What came of a call.

    Args:
        status: Where it stands in the ledger.
        result: For the model.
    """

    status: ToolCallStatus
    result: Mapping[str, Any]


class MemoryTool:
    """`search_memory`."""

    def __init__(self, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._library = library
        self._look_ups = LookUps(sessions)

    async def search(self, run: AgentRun, call: ToolCall) -> Effect:
        """Look into the memories of the run's owner, and of nobody else.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        wanted = SearchMemory.model_validate(call.arguments_data)
        embedding = self._library.vector_of(wanted.query)
        vector = await self._look_ups.wait(run.agent_run_id, call.tool, EMBEDDINGS, embedding)
        searching = self._library.memories_near(run.user_id, vector, wanted.limit)
        found = await self._look_ups.wait(run.agent_run_id, call.tool, CHROMA, searching)
        texts = [memory.text for memory in found]
        return Effect(ToolCallStatus.DONE, {"memories": texts})


class RefundTool:
    """`refund_payment`."""

    def __init__(self, desk: PaymentCommands, sessions: Sessions) -> None:
        self._desk = desk
        self._sessions = sessions

    async def refund(self, run: AgentRun, call: ToolCall) -> Effect:
        """Give money back, once per payment, amount and conversation: as much as was shown.

        Raises:
            NotFoundError: The run's owner has no such payment.
            InvalidInputError: There was nothing to refund when the yes was asked for.
            ApplicationError: It cannot be refunded, or the outcome is not known yet.
        """
        wanted = RefundPayment.model_validate(call.arguments_data)
        key = refund_business_key(wanted.payment_id, wanted.amount_cents, run.conversation_id)
        claimer_id = await self._claim(run, call, wanted.payment_id, key)
        shown_cents = await self._shown_cents(claimer_id)
        if shown_cents == 0:
            message = "nothing was left to refund when the yes was asked for"
            raise InvalidInputError(message, "refund_exceeds_payment", {"refundable_cents": 0})
        order = RefundInput(
            payment_id=wanted.payment_id,
            # Reason: a call that comes second asks for the first one's refund, and gets that.
            refund_id=refund_id(key, claimer_id),
            # Reason: what is left may be more by now than the person has said yes to.
            amount_cents=wanted.amount_cents or shown_cents,
            reason=wanted.reason,
            requested_by=run.user_id,
        )
        done = await self._desk.refund(order)
        if done.refund_status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
            return Effect(ToolCallStatus.FAILED, done.model_dump(mode="json"))
        is_first = claimer_id == call.call_id
        status = ToolCallStatus.DONE if is_first else ToolCallStatus.ALREADY_DONE
        return Effect(status, done.model_dump(mode="json"))

    async def _claim(self, run: AgentRun, call: ToolCall, payment_id: UUID, key: str) -> UUID:
        """Return which call has the effect; only payments of the run's owner are touched."""
        async with self._sessions.begin() as session:
            if await PaymentRepository(session).get(payment_id, run.user_id) is None:
                raise NotFoundError("this user has no such payment", "unknown_payment")
            earlier = await ToolCallRepository(session).claim(call.call_id, key)
            return earlier.call_id if earlier else call.call_id

    async def _shown_cents(self, call_id: UUID) -> int | None:
        """Return what whoever said yes was shown; None for a call of an older release."""
        async with self._sessions() as session:
            approval = await ToolCallRepository(session).approval(call_id)
        effect = approval.effect_data if approval else None
        return int(effect["amount_cents"]) if effect else None


def tool_effects(
    library: KnowledgeSearch,
    desk: PaymentCommands,
    sessions: Sessions,
) -> dict[str, Any]:
    """Return what each tool does, by its name."""
    return {
        SEARCH_MEMORY.name: MemoryTool(library, sessions).search,
        REFUND_PAYMENT.name: RefundTool(desk, sessions).refund,
    }
