"""What a call that needs somebody's yes would do, worked out when the yes is asked for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.refund_payment import REFUND_PAYMENT, RefundPayment
from database.agents.models import AgentRun
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from domain.payments.rules import PaymentCommandKind, PaymentStatus, refundable_cents, refusal


async def expected_effect(
    session: AsyncSession,
    run: AgentRun,
    tool: str,
    arguments: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return what a call would do; None if that is not known, as for somebody else's payment.

    Args:
        session: The transaction that stores the question.
        run: Whose call.
        tool: Which tool.
        arguments: Checked.
    """
    if tool != REFUND_PAYMENT.name:
        return None
    wanted = RefundPayment.model_validate(arguments)
    payment = await PaymentRepository(session).get(wanted.payment_id, run.user_id)
    if payment is None:
        return None
    pending = await RefundRepository(session).pending_cents(payment.payment_id)
    left = refundable_cents(payment.amount_cents, payment.refunded_cents, pending)
    if refusal(PaymentStatus(payment.payment_status), PaymentCommandKind.REFUND) is not None:
        left = 0
    return {
        "payment_id": str(payment.payment_id),
        "amount_cents": left if wanted.amount_cents is None else wanted.amount_cents,
        "currency_code": payment.currency_code,
        "refundable_cents": left,
    }
