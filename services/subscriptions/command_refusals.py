"""Turns what Stripe refuses into a refusal by the status that Stripe shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import IllegalCommandError, NotFoundError, ProviderRejectedError
from domain.subscriptions.lifecycle import CommandKind, RefusalCode, decide
from domain.subscriptions.planned import refusal_by_end
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.subscriptions.stripe_sync import SubscriptionSync


@asynccontextmanager
async def refusing_by_status(
    sync: SubscriptionSync, kind: CommandKind, stripe_subscription_id: str
) -> AsyncIterator[None]:
    """Refuse a command that Stripe has refused by the status at Stripe, if that explains it.

    Our view may not know yet what was done at Stripe, for example in the Dashboard.

    Args:
        sync: Access to the subscription at Stripe.
        kind: Command that is carried out.
        stripe_subscription_id: Subscription of the command.

    Raises:
        IllegalCommandError: The status at Stripe does not allow the command.
        ProviderRejectedError: Stripe refused for another reason.
    """
    try:
        yield
    except (ProviderRejectedError, NotFoundError) as error:
        snapshot = await sync.subscriptions.status(stripe_subscription_id)
        status = snapshot.subscription_status
        decision = decide(status, kind)
        if decision.refusal is None:
            raise
        details = {"subscription_status": status}
        raise IllegalCommandError(decision.refusal, decision.refusal_code, details) from error


def refuse_by_end(kind: CommandKind, subscription: SubscriptionSnapshot) -> None:
    """Refuse a command that the planned end of a subscription forbids.

    Args:
        kind: Command that is carried out.
        subscription: The subscription at Stripe.

    Raises:
        IllegalCommandError: The subscription ends too soon for the command.
    """
    refusal = refusal_by_end(kind, subscription.cancel_at, subscription.current_period_end)
    if refusal is not None:
        details = {"subscription_status": subscription.subscription_status}
        raise IllegalCommandError(refusal, RefusalCode.ILLEGAL_COMMAND, details)
