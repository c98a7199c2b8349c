"""Computes the expected effect of a tool call that needs an approval, for the approver."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.refund_payment import REFUND_PAYMENT, RefundPayment
from database.agents.models import AgentRun
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from domain.payments.rules import PaymentCommandKind, PaymentStatus, refundable_cents, refusal


async def preview_effect(
    session: AsyncSession,
    run: AgentRun,
    tool: str,
    arguments: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the expected effect of a call; None if unknown, as for another user's payment.

    Args:
        session: The transaction that stores the approval.
        run: The run that the call belongs to.
        tool: Name of the tool.
        arguments: Validated arguments.
    """
    if tool != REFUND_PAYMENT.name:
        return None
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
