"""Tool `read_billing`: reads the billing records of the run's owner, and the plans."""

from collections.abc import Mapping
from typing import Any

import orjson

from agents.tools.billing.read_billing import READ_BILLING, BillingRecords, ReadBilling
from database.agents.models import AgentRun, ToolCall
from database.payments.payments import PaymentRepository
from database.plans.plans import PlanRepository
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.tools.catalog import Effect, Tool, ToolResources

# Reason: ids of Stripe and workflows, and addresses at which can be paid, are no model's business.
_COLUMNS: Mapping[BillingRecords, tuple[str, ...]] = {
    "subscriptions": (
        *("subscription_id", "subscription_status", "plan_id", "quantity"),
        *("current_period_start", "current_period_end", "trial_end", "cancel_at", "canceled_at"),
        *("grace_ends_at", "resume_at", "created_at"),
    ),
    "invoices": (
        *("invoice_id", "subscription_id", "invoice_status", "amount_due_cents"),
        *("amount_paid_cents", "currency_code", "period_start", "period_end", "invoiced_at"),
    ),
    "payments": (
        *("payment_id", "invoice_id", "payment_status", "amount_cents", "refunded_cents"),
        *("currency_code", "decline_code", "created_at"),
    ),
    "plans": (
        *("plan_id", "code", "name", "amount_cents", "currency_code", "interval"),
        *("interval_count", "trial_days"),
    ),
}


async def read_billing(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Read the newest records of one kind."""
    wanted = ReadBilling.model_validate(call.arguments_data)
    async with resources.sessions() as session:
        match wanted.records:
            case "subscriptions":
                page = await SubscriptionRepository(session).list(run.user_id, wanted.limit, None)
                rows: Any = page.items
            case "invoices":
                rows = await InvoiceRepository(session).newest(run.user_id, wanted.limit)
            case "payments":
                paid = await PaymentRepository(session).list(run.user_id, wanted.limit, None)
                rows = paid.items
            case "plans":
                rows = (await PlanRepository(session).list(True, wanted.limit, None)).items
    columns = _COLUMNS[wanted.records]
    records = [{name: getattr(row, name) for name in columns} for row in rows]
    # Reason: the result is stored as JSON, which has neither ids nor times.
    return Effect(ToolCallStatus.DONE, {wanted.records: orjson.loads(orjson.dumps(records))})


READ_BILLING_TOOL = Tool(READ_BILLING, read_billing)
