"""Tool `refund_payment`: refunds a payment; an administrator must approve every call."""

from uuid import UUID

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec


class RefundPayment(Arguments):
    """Arguments of `refund_payment`."""

    payment_id: UUID = Field(description="Which payment.")
    amount_cents: int | None = Field(
        default=None,
        gt=0,
        le=99_999_999,
        description="In minor units; leave it out to refund all that is left.",
    )
    reason: str = Field(min_length=1, max_length=500, description="Why, in the user's words.")


REFUND_PAYMENT = ToolSpec(
    name="refund_payment",
    description="Refund one of this user's payments. A person has to approve it first.",
    arguments=RefundPayment,
    approver_role="admin",
)
