"""Stripe's small job of following what was changed of a customer there."""

from temporalio import activity

from adapters.stripe.customers import StripeCustomers
from database.accounts.users import UserRepository
from database.payments.payment_methods import PaymentMethodRepository
from database.session import Sessions
from database.webhooks.webhook_events import WebhookEventRepository
from domain.stripe_operations import StripeOperationResult, SyncCustomer
from domain.webhooks.events import new_default_card
from services.payment_retries.card_offers import CardOffers


class CustomerSyncActivities:
    """A user's customer at Stripe, followed here."""

    def __init__(
        self,
        customers: StripeCustomers,
        offers: CardOffers,
        sessions: Sessions,
    ) -> None:
        self._customers = customers
        self._offers = offers
        self._sessions = sessions

    @activity.defn
    async def sync_customer(self, operation: SyncCustomer) -> StripeOperationResult:
        """Follow what was changed of a customer at Stripe: cards, the default card, deletion.

        Args:
            operation: With the user, their customer, and the events that told of it.

        Returns:
            The payment retries to which a new default card is offered.

        Raises:
            ApplicationError: Stripe is down.
        """
        user_id, customer_id = operation.user_id, operation.stripe_customer_id
        async with self._sessions.begin() as session:
            count = await UserRepository(session).begin_customer_sync(user_id)
            bodies = await WebhookEventRepository(session).bodies_of(operation.stripe_event_ids)
        # Reason: Stripe answers for deleted customers too; a 404 says that the key is another
        # account's, and forgets nobody's cards.
        seen = await self._customers.read(customer_id)
        async with self._sessions.begin() as session:
            users, methods = UserRepository(session), PaymentMethodRepository(session)
            # Reason: one that began later has read newer facts, and writes them.
            if await users.is_last_customer_sync(user_id, customer_id, count):
                if seen.is_deleted:
                    await users.forget_customer(user_id, customer_id)
                await methods.follow(user_id, seen)
        told = {new_default_card(body) for body in bodies}
        offered: tuple[str, ...] = ()
        if seen.default_card_id is not None and seen.default_card_id in told:
            offered = await self._offers.offer_if_new(customer_id, seen.default_card_id)
        return StripeOperationResult(
            resource_id=operation.resource_id,
            stripe_payment_method_id=seen.default_card_id,
            retried_stripe_invoice_ids=offered,
        )
