"""Stripe's small job of following what was changed of a customer there."""

from temporalio import activity

from activities.card_offers import CardOffers
from adapters.stripe.customers import StripeCustomers
from database.payment_methods import PaymentMethodRepository
from database.session import Sessions
from database.users import UserRepository
from domain.errands import ErrandResult, StripeErrand
from domain.errors import InvalidInputError, NotFoundError


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
    async def sync_customer(self, errand: StripeErrand) -> ErrandResult:
        """Follow what was changed of a customer at Stripe: cards, the default card, deletion.

        Args:
            errand: With the user; with a card if the event says that it became the default.

        Returns:
            The payment retries to which a new default card is offered.

        Raises:
            ApplicationError: Stripe is down.
        """
        user_id, customer_id = errand.user_id, errand.stripe_customer_id
        if user_id is None or customer_id is None:
            raise InvalidInputError("this operation needs a user and a customer")
        async with self._sessions.begin() as session:
            count = await UserRepository(session).begin_customer_sync(user_id)
        try:
            seen = await self._customers.read(customer_id)
        except NotFoundError:
            seen = None
        async with self._sessions.begin() as session:
            users, methods = UserRepository(session), PaymentMethodRepository(session)
            # Reason: one that began later has read newer facts, and writes them.
            if await users.is_last_customer_sync(user_id, customer_id, count):
                if seen is None or seen.is_deleted:
                    await users.forget_customer(user_id, customer_id)
                await methods.follow(user_id, seen)
        offered: tuple[str, ...] = ()
        card_id = errand.stripe_payment_method_id
        if seen is not None and card_id is not None and seen.default_card_id == card_id:
            offered = await self._offers.offer(customer_id, card_id)
        return ErrandResult(
            resource_id=errand.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered,
        )
