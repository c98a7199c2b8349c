"""Changes of subscriptions at Stripe that commands ask for."""

from datetime import datetime

import stripe

from adapters.stripe.client import translate_stripe_errors


class StripeSubscriptionCommands:
    """Plans and takes back the end of subscriptions, resumes them, and moves the end of trials."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def cancel_at_period_end(self, stripe_subscription_id: str, key: str) -> None:
        """Let a subscription end with its current period."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"cancel_at_period_end": True},
                {"idempotency_key": key},
            )

    async def keep_after_period(self, stripe_subscription_id: str, key: str) -> None:
        """Take back that a subscription ends with its current period."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"cancel_at_period_end": False},
                {"idempotency_key": key},
            )

    async def forget_end(self, stripe_subscription_id: str, key: str) -> None:
        """Take back that a subscription ends at a date."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"cancel_at": ""},
                {"idempotency_key": key},
            )

    async def resume(self, stripe_subscription_id: str, key: str) -> None:
        """Resume a paused subscription with a new period, as soon as its invoice is paid.

        A declined charge is no error: the subscription stays paused, and the invoice open.
        """
        with translate_stripe_errors():
            await self._client.v1.subscriptions.resume_async(
                stripe_subscription_id,
                {
                    "billing_cycle_anchor": {"type": "now"},
                    "payment_behavior": "resume_on_payment_success",
                },
                {"idempotency_key": key},
            )

    async def extend_trial(
        self, stripe_subscription_id: str, trial_end: datetime, key: str
    ) -> None:
        """Let a trial end at a later time."""
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"trial_end": int(trial_end.timestamp()), "proration_behavior": "none"},
                {"idempotency_key": key},
            )

    async def end_trial(self, stripe_subscription_id: str, key: str) -> None:
        """End a trial now, if its first period can be charged, or if there is no card.

        Raises:
            CardDeclinedError: The charge was declined; nothing was changed.
        """
        with translate_stripe_errors():
            await self._client.v1.subscriptions.update_async(
                stripe_subscription_id,
                {"trial_end": "now", "payment_behavior": "error_if_incomplete"},
                {"idempotency_key": key},
            )
