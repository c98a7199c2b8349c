"""Tool `refund_payment`: refunds a payment of the run's owner after an approval."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.billing.refund_payment import REFUND_PAYMENT, RefundPayment
from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from database.session import Sessions
from domain.agents.tools.tool_calls import ToolCallStatus, refund_business_key
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import refund_id
from domain.payments.messages import RefundInput
from domain.payments.rules import (
    PaymentCommandKind,
    PaymentStatus,
    RefundStatus,
    refundable_cents,
    refusal,
)
from services.agents.tools.catalog import Effect, Tool, ToolResources


async def refund_payment(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Refund the amount that the approver saw, once per payment, amount and conversation.

    Raises:
        NotFoundError: The run's owner has no such payment.
        InvalidInputError: Nothing was left to refund when the approval was requested.
        ApplicationError: The payment cannot be refunded, or the outcome is not known yet.
    """
    arguments = RefundPayment.model_validate(call.arguments_data)
    async with resources.sessions() as session:
        # Reason: the runs of a team share their effects, so that two of them refund once.
        root_id = await ConversationRepository(session).root_of(run.conversation_id)
    key = refund_business_key(arguments.payment_id, arguments.amount_cents, root_id)
    owner_call_id = await _claim(resources.sessions, run, call, arguments.payment_id, key)
    approved_cents = await _approved_cents(resources.sessions, owner_call_id)
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
    refund = await resources.commands.refund(refund_input)
    if refund.refund_status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
        return Effect(ToolCallStatus.FAILED, refund.model_dump(mode="json"))
    is_first = owner_call_id == call.call_id
    status = ToolCallStatus.DONE if is_first else ToolCallStatus.ALREADY_DONE
    return Effect(status, refund.model_dump(mode="json"))


async def preview_refund(
    session: AsyncSession, run: AgentRun, arguments: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the amount that a call would refund; None if the run's owner has no such payment."""
    request = RefundPayment.model_validate(arguments)
    payment = await PaymentRepository(session).get(request.payment_id, run.user_id)
    if payment is None:
        return None
    pending = await RefundRepository(session).pending_cents(payment.payment_id)
    refundable = refundable_cents(payment.amount_cents, payment.refunded_cents, pending)
    if refusal(PaymentStatus(payment.payment_status), PaymentCommandKind.REFUND) is not None:
        refundable = 0
    return {
        "payment_id": str(payment.payment_id),
        "amount_cents": refundable if request.amount_cents is None else request.amount_cents,
        "currency_code": payment.currency_code,
        "refundable_cents": refundable,
    }


async def _claim(
    sessions: Sessions, run: AgentRun, call: ToolCall, payment_id: UUID, key: str
) -> UUID:
    """Return the id of the call that owns this refund; the payment must be the run owner's."""
    async with sessions.begin() as session:
        if await PaymentRepository(session).get(payment_id, run.user_id) is None:
            raise NotFoundError("this user has no such payment", "unknown_payment")
        earlier = await ToolCallRepository(session).claim(call.call_id, key)
        return earlier.call_id if earlier else call.call_id


async def _approved_cents(sessions: Sessions, call_id: UUID) -> int | None:
    """Return the amount that the approver saw; None for a call of an older release."""
    async with sessions() as session:
        approval = await ToolCallRepository(session).approval(call_id)
    effect = approval.effect_data if approval else None
    return int(effect["amount_cents"]) if effect else None


REFUND_PAYMENT_TOOL = Tool(REFUND_PAYMENT, refund_payment, preview_refund)
