"""Tool `read_billing`: reads the run owner's billing records, and the plans on sale."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec

# Reason: an enumeration would be a reference in the schema, which not every model follows.
BillingRecords = Literal["subscriptions", "invoices", "payments", "plans"]


class ReadBilling(Arguments):
    """Arguments of `read_billing`."""

    records: BillingRecords = Field(description="Which records.")
    limit: int = Field(default=10, ge=1, le=50, description="How many at the most, newest first.")


READ_BILLING = ToolSpec(
    name="read_billing",
    description="Read this user's subscriptions, invoices or payments, or the plans on sale. "
    "Amounts are in minor units.",
    arguments=ReadBilling,
    patience=timedelta(seconds=15),
)
