"""Tool `cancel_subscription`: cancels a subscription of the run's owner after an approval."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.billing.cancel_subscription import (
    CANCEL_SUBSCRIPTION,
    CancelSubscription,
    CancelTime,
)
from database.agents.models import AgentRun, ToolCall
from database.subscriptions.models import Subscription
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import NotFoundError, UnavailableError, WorkflowEndedError
from domain.ids import derived_id
from domain.subscriptions.lifecycle import FINAL, CommandKind, SubscriptionStatus
from domain.subscriptions.messages import CancelRefund, SubscriptionCommand
from services.agents.tools.catalog import Effect, Tool, ToolResources
from services.stripe_idempotency import is_later_attempt

_KINDS: Mapping[CancelTime, CommandKind] = {
    "now": CommandKind.CANCEL_NOW,
    "at_period_end": CommandKind.CANCEL_AT_PERIOD_END,
}


async def cancel_subscription(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Cancel a subscription, unless it ends as wanted already.

    Raises:
        NotFoundError: The run's owner has no such subscription.
        ApplicationError: The subscription cannot be canceled, or the outcome is not known yet.
    """
    wanted = CancelSubscription.model_validate(call.arguments_data)
    before = await _row(resources, run, wanted)
    # Reason: a later attempt may find what the first one did, whose answer was lost.
    if _is_ending(before, wanted) and not is_later_attempt():
        return Effect(ToolCallStatus.ALREADY_DONE, _facts(before))
    is_refunded = wanted.is_unused_time_refunded and wanted.when == "now"
    command = SubscriptionCommand(
        # Reason: not of the conversation, as the customer may take a cancellation back.
        command_id=derived_id("tool-command", call.call_id),
        kind=_KINDS[wanted.when],
        refund=CancelRefund.UNUSED if is_refunded else CancelRefund.NONE,
    )
    try:
        await resources.mailboxes.command(wanted.subscription_id, command)
    except WorkflowEndedError as error:
        if not _has_ended(await _row(resources, run, wanted)):
            raise UnavailableError("the workflow of the subscription does not run") from error
    return Effect(ToolCallStatus.DONE, _facts(await _row(resources, run, wanted)))


async def preview_cancellation(
    session: AsyncSession, run: AgentRun, arguments: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what a call would end; None if the run's owner has no such subscription."""
    wanted = CancelSubscription.model_validate(arguments)
    row = await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id)
    if row is None:
        return None
    end = row.current_period_end if wanted.when == "at_period_end" else None
    return {
        "subscription_id": str(row.subscription_id),
        "subscription_status": row.subscription_status,
        "when": wanted.when,
        "ends_at": end.isoformat() if end else None,
        "is_unused_time_refunded": wanted.is_unused_time_refunded,
    }


async def _row(resources: ToolResources, run: AgentRun, wanted: CancelSubscription) -> Subscription:
    async with resources.sessions() as session:
        row = await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id)
    if row is None:
        raise NotFoundError("this user has no such subscription", "unknown_subscription")
    return row


def _has_ended(row: Subscription) -> bool:
    return SubscriptionStatus(row.subscription_status) in FINAL


def _is_ending(row: Subscription, wanted: CancelSubscription) -> bool:
    is_planned = wanted.when == "at_period_end" and row.cancel_at is not None
    return _has_ended(row) or is_planned


def _facts(row: Subscription) -> dict[str, Any]:
    return {
        "subscription_id": str(row.subscription_id),
        "subscription_status": row.subscription_status,
        "cancel_at": row.cancel_at.isoformat() if row.cancel_at else None,
    }


CANCEL_SUBSCRIPTION_TOOL = Tool(CANCEL_SUBSCRIPTION, cancel_subscription, preview_cancellation)
