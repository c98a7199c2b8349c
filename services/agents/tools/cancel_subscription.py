"""Tool `cancel_subscription`: cancels a subscription of the run's owner after an approval."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from agents.tools.cancel_subscription import (
    CANCEL_SUBSCRIPTION,
    CancelSubscription,
    CancelTime,
)
from database.agents.models import AgentRun, ToolCall
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.agents.tool_calls import ToolCallStatus, cancel_business_key
from domain.errors import NotFoundError, UnavailableError, WorkflowEndedError
from domain.ids import derived_id
from domain.subscriptions.lifecycle import FINAL, CommandKind, SubscriptionStatus
from domain.subscriptions.messages import CancelRefund, SubscriptionCommand
from services.agents.tools.business_keys import claim
from services.agents.tools.catalog import Effect, Tool, ToolResources

_KINDS: Mapping[CancelTime, CommandKind] = {
    "now": CommandKind.CANCEL_NOW,
    "at_period_end": CommandKind.CANCEL_AT_PERIOD_END,
}


async def cancel_subscription(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Cancel a subscription, once per time of the end and conversation.

    Raises:
        NotFoundError: The run's owner has no such subscription.
        ApplicationError: The subscription cannot be canceled, or the outcome is not known yet.
    """
    wanted = CancelSubscription.model_validate(call.arguments_data)
    key = cancel_business_key(wanted.subscription_id, wanted.when, run.conversation_id)
    async with resources.sessions.begin() as session:
        if await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id) is None:
            raise NotFoundError("this user has no such subscription", "unknown_subscription")
        owner_call_id = await claim(session, call, key)
    is_refunded = wanted.is_unused_time_refunded and wanted.when == "now"
    command = SubscriptionCommand(
        # Reason: a second call for the same cancellation gets the answer of the first one.
        command_id=derived_id("tool-command", key, owner_call_id),
        kind=_KINDS[wanted.when],
        refund=CancelRefund.UNUSED if is_refunded else CancelRefund.NONE,
    )
    try:
        await resources.mailboxes.command(wanted.subscription_id, command)
    except WorkflowEndedError as error:
        await _expect_ended(resources, wanted, error)
    async with resources.sessions() as session:
        row = await SubscriptionRepository(session).get(wanted.subscription_id, run.user_id)
    if row is None:
        raise NotFoundError("this user has no such subscription", "unknown_subscription")
    is_first = owner_call_id == call.call_id
    facts = {
        "subscription_id": str(row.subscription_id),
        "subscription_status": row.subscription_status,
        "cancel_at": row.cancel_at.isoformat() if row.cancel_at else None,
    }
    return Effect(ToolCallStatus.DONE if is_first else ToolCallStatus.ALREADY_DONE, facts)


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


async def _expect_ended(
    resources: ToolResources, wanted: CancelSubscription, error: WorkflowEndedError
) -> None:
    """Accept that the workflow has ended if the subscription has, as an earlier try may have done.

    Raises:
        UnavailableError: The workflow of a live subscription does not run; it is started again.
    """
    async with resources.sessions() as session:
        row = await SubscriptionRepository(session).get(wanted.subscription_id, None)
    if row is None or SubscriptionStatus(row.subscription_status) not in FINAL:
        raise UnavailableError("the workflow of the subscription is not running") from error


CANCEL_SUBSCRIPTION_TOOL = Tool(CANCEL_SUBSCRIPTION, cancel_subscription, preview_cancellation)
