"""Tool `change_plan`: changes plan or quantity; an administrator must approve every call."""

from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from agents.tools.spec import Arguments, ToolSpec

# Reason: an enumeration would be a reference in the schema, which not every model follows.
ChangeTime = Literal["now", "at_period_end"]


class ChangePlan(Arguments):
    """Arguments of `change_plan`."""

    subscription_id: UUID = Field(description="Which subscription.")
    plan_id: UUID | None = Field(default=None, description="The new plan; without it, the same.")
    quantity: int | None = Field(
        default=None, ge=1, le=1_000_000, description="The new quantity; without it, the same."
    )
    when: ChangeTime = Field(
        default="at_period_end",
        description="With the next renewal, or now, which charges the difference at once.",
    )
    reason: str = Field(min_length=1, max_length=500, description="Why, in the user's words.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.plan_id is None and self.quantity is None:
            raise ValueError("plan_id or quantity is required")
        return self


CHANGE_PLAN = ToolSpec(
    name="change_plan",
    description="Change the plan or the quantity of one of this user's subscriptions. "
    "A person has to approve it first.",
    arguments=ChangePlan,
    approver_role="admin",
)
