"""Tool `cancel_subscription`: cancels a subscription; an administrator must approve every call."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec

# Reason: an enumeration would be a reference in the schema, which not every model follows.
CancelTime = Literal["now", "at_period_end"]


class CancelSubscription(Arguments):
    """Arguments of `cancel_subscription`."""

    subscription_id: UUID = Field(description="Which subscription.")
    when: CancelTime = Field(
        default="at_period_end",
        description="At the end of the paid period, or now, which ends access at once.",
    )
    is_unused_time_refunded: bool = Field(
        default=False, description="With `now`: whether the unused time is paid back."
    )
    reason: str = Field(min_length=1, max_length=500, description="Why, in the user's words.")


CANCEL_SUBSCRIPTION = ToolSpec(
    name="cancel_subscription",
    description="Cancel one of this user's subscriptions. A person has to approve it first.",
    arguments=CancelSubscription,
    approver_role="admin",
)
