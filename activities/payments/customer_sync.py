"""The activity that syncs a user's Stripe customer and cards into our rows."""

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
    """The activity that syncs a user's Stripe customer."""

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
        """Sync a customer's changes at Stripe: cards, the default card, deletion.

        Args:
            operation: The user, the customer, and the webhook events of the change.

        Returns:
            The invoices whose payment retries are offered a new default card.

        Raises:
            ApplicationError: Stripe is down.
        """
        user_id, customer_id = operation.user_id, operation.stripe_customer_id
        async with self._sessions.begin() as session:
            sync_number = await UserRepository(session).begin_customer_sync(user_id)
            bodies = await WebhookEventRepository(session).bodies_of(operation.stripe_event_ids)
        # Reason: Stripe still returns deleted customers; a 404 means that the API key belongs to
        # another account, and then no cards are forgotten.
        snapshot = await self._customers.read(customer_id)
        async with self._sessions.begin() as session:
            users, methods = UserRepository(session), PaymentMethodRepository(session)
            # Reason: a sync that began later has read newer data, and writes that.
            if await users.is_last_customer_sync(user_id, customer_id, sync_number):
                if snapshot.is_deleted:
                    await users.forget_customer(user_id, customer_id)
                await methods.follow(user_id, snapshot)
        default_card_ids = {new_default_card(body) for body in bodies}
        offered_invoice_ids: tuple[str, ...] = ()
        if snapshot.default_card_id is not None and snapshot.default_card_id in default_card_ids:
            offered_invoice_ids = await self._offers.offer_if_new(
                customer_id, snapshot.default_card_id
            )
        return StripeOperationResult(
            resource_id=operation.resource_id,
            stripe_payment_method_id=snapshot.default_card_id,
            retried_stripe_invoice_ids=offered_invoice_ids,
        )
