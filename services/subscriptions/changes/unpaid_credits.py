"""Refuses changes that would credit time that nobody has paid."""

from dataclasses import dataclass
from uuid import UUID

from adapters.stripe.previews import StripePreviews
from adapters.stripe.subscriptions import StripeSubscriptions
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from domain.errors import IllegalCommandError
from domain.subscriptions.previews import ChangeTerms, InvoicePreview
from services.stripe_idempotency import post_once


@dataclass(frozen=True)
class UnpaidCredits:
    """Looks at whether a change credits the rest of a period whose invoice was given up."""

    subscriptions: StripeSubscriptions
    previews: StripePreviews
    sessions: Sessions

    async def refuse(
        self, subscription_id: UUID, stripe_id: str, terms: ChangeTerms, key: str
    ) -> None:
        """Refuse a change at once that gives money back, if the present period was not paid.

        Args:
            subscription_id: Our id of the subscription.
            stripe_id: Stripe's id of the subscription.
            terms: The change.
            key: Prefix of the idempotency keys.

        Raises:
            IllegalCommandError: The change credits what nobody has paid (`period_not_paid`).
            ApplicationError: Stripe refused, or is down.
        """
        async with self.sessions() as session:
            known = await InvoiceRepository(session).known(subscription_id)
        subscription = await self.subscriptions.read(stripe_id, known)
        # Reason: whose invoice is open still is past due, and changes nothing at once anyway.
        if not subscription.is_period_given_up:
            return

        async def post(numbered_key: str) -> InvoicePreview | None:
            return await self.previews.change_now(subscription, terms, numbered_key)

        async def find() -> InvoicePreview | None:
            return None  # a preview changes nothing, so it is made again

        preview = await post_once(f"{key}:credit", post, find)
        if preview is not None and preview.total_cents < 0:
            raise IllegalCommandError(
                "the invoice of this period was given up, so none of it is credited; "
                "plan the change for the end of the period",
                "period_not_paid",
                {"subscription_status": subscription.subscription_status},
            )
