"""Turns what Stripe refuses into a refusal by the status that Stripe shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import IllegalCommandError, NotFoundError, ProviderRejectedError
from domain.subscriptions.lifecycle import CommandKind, decide
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
