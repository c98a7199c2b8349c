"""Tool `change_plan`: changes a subscription of the run's owner after an approval."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.billing.change_plan import CHANGE_PLAN, ChangePlan, ChangeTime
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.plans.models import Plan
from database.plans.plans import PlanRepository
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import ConflictError, NotFoundError
from domain.ids import derived_id
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionCommand
from domain.subscriptions.previews import ChangeRequest
from services.agents.tools.catalog import Effect, Tool, ToolResources
from services.stripe_idempotency import is_later_attempt
from services.subscriptions.changes.requests import resolve_change

_KINDS: Mapping[ChangeTime, CommandKind] = {
    "now": CommandKind.CHANGE_PLAN,
    "at_period_end": CommandKind.SCHEDULE_CHANGE,
}


async def change_plan(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Change a subscription, unless it is as wanted already.

    Raises:
        NotFoundError: The run's owner has no such subscription, or there is no such plan on sale.
        ConflictError: The change costs another price than the approver saw (`price_changed`).
        ApplicationError: The change is refused or unpaid, or the outcome is not known yet.
    """
    wanted = ChangePlan.model_validate(call.arguments_data)
    before = await _row(resources, run, wanted)
    # Reason: a later attempt may find what the first one did, whose answer was lost.
    if _is_as_wanted(before, wanted) and not is_later_attempt():
        return Effect(ToolCallStatus.ALREADY_DONE, _facts(before))
    if not is_later_attempt():
        await _check_price(resources, run, call)
    request = ChangeRequest(
        plan_id=wanted.plan_id,
        quantity=wanted.quantity,
        is_at_period_end=wanted.when == "at_period_end",
    )
    command = SubscriptionCommand(
        # Reason: not of the conversation, as the customer may change the plan back.
        command_id=derived_id("tool-command", call.call_id),
        kind=_KINDS[wanted.when],
        terms=await resolve_change(resources.sessions, before, request),
    )
    await resources.mailboxes.command(wanted.subscription_id, command)
    return Effect(ToolCallStatus.DONE, _facts(await _row(resources, run, wanted)))


async def preview_plan_change(
    session: AsyncSession, run: AgentRun, arguments: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what is paid a period before and after a call; None if that is not known."""
    wanted = ChangePlan.model_validate(arguments)
    row = await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id)
    if row is None:
        return None
    plans = PlanRepository(session)
    present = await plans.get(row.plan_id) if row.plan_id else None
    plan = await plans.get(wanted.plan_id) if wanted.plan_id else present
    if plan is None:
        return None
    return {
        "subscription_id": str(row.subscription_id),
        "when": wanted.when,
        "before": _terms(present, row.quantity) if present else None,
        "after": _terms(plan, wanted.quantity or row.quantity),
    }


async def _check_price(resources: ToolResources, run: AgentRun, call: ToolCall) -> None:
    """Check that the change costs what the approver saw.

    Raises:
        ConflictError: The plan, its price or the quantity has changed since (`price_changed`).
    """
    async with resources.sessions() as session:
        approval = await ToolCallRepository(session).approval(call.call_id)
        effect = await preview_plan_change(session, run, call.arguments_data)
    if approval is not None and approval.effect_data != effect:
        message = "the subscription or the plan's price has changed since the approval"
        raise ConflictError(message, "price_changed")


async def _row(resources: ToolResources, run: AgentRun, wanted: ChangePlan) -> Subscription:
    async with resources.sessions() as session:
        row = await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id)
    if row is None:
        raise NotFoundError("this user has no such subscription", "unknown_subscription")
    return row


def _terms(plan: Plan, quantity: int) -> dict[str, Any]:
    return {
        "plan_id": str(plan.plan_id),
        "plan_name": plan.name,
        "quantity": quantity,
        "amount_cents": plan.amount_cents * quantity,
        "currency_code": plan.currency_code,
        "interval": plan.interval,
        "interval_count": plan.interval_count,
    }


def _is_as_wanted(row: Subscription, wanted: ChangePlan) -> bool:
    planned = row.scheduled_change_data
    if planned is not None and wanted.when == "now":
        return False  # a change at once drops the one that waits
    present = {"plan_id": str(row.plan_id), "quantity": row.quantity}
    after = planned or present
    return (after["plan_id"], after["quantity"]) == (
        str(wanted.plan_id or row.plan_id),
        wanted.quantity or row.quantity,
    )


def _facts(row: Subscription) -> dict[str, Any]:
    return {
        "subscription_id": str(row.subscription_id),
        "subscription_status": row.subscription_status,
        "plan_id": str(row.plan_id) if row.plan_id else None,
        "quantity": row.quantity,
        "scheduled_change": row.scheduled_change_data,
    }


CHANGE_PLAN_TOOL = Tool(CHANGE_PLAN, change_plan, preview_plan_change)
