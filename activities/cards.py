"""Stripe's small jobs about cards: attach, default, detach, set-up."""

from uuid import UUID

from temporalio import activity

from activities.customers import ensure_customer
from adapters.stripe.cards import StripeCards
from adapters.stripe.customers import StripeCustomers
from database.payment_methods import PaymentMethodRepository
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.errands import ErrandResult, StripeErrand
from domain.errors import InvalidInputError
from domain.ids import errand_workflow_id


class CardActivities:
    """A user's cards at Stripe and here."""

    def __init__(
        self,
        customers: StripeCustomers,
        cards: StripeCards,
        sessions: Sessions,
    ) -> None:
        self._customers = customers
        self._cards = cards
        self._sessions = sessions

    @activity.defn
    async def attach_payment_method(self, errand: StripeErrand) -> ErrandResult:
        """Attach a card to the user's customer, and make it the default if asked.

        Args:
            errand: With the card; its resource id becomes the row's.

        Returns:
            The card's row, and the recoveries to which a new default card is offered.

        Raises:
            ApplicationError: Stripe refused the card, or is down.
        """
        user_id, card_id = _who_and_which(errand)
        customer_id = await ensure_customer(user_id, self._customers, self._sessions)
        key = errand_workflow_id(errand.errand_id)
        card = await self._cards.attach(card_id, customer_id, f"{key}:attach")
        card_id = card.stripe_payment_method_id
        if errand.is_default:
            await self._cards.use_card(customer_id, card_id, f"{key}:default")
        async with self._sessions.begin() as session:
            methods = PaymentMethodRepository(session)
            row_id = await methods.put(errand.resource_id, user_id, card)
            if errand.is_default:
                await methods.make_default(row_id, user_id)
        retried = await self._open_retries(user_id) if errand.is_default else ()
        return ErrandResult(
            resource_id=row_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=retried,
        )

    @activity.defn
    async def set_default_payment_method(self, errand: StripeErrand) -> ErrandResult:
        """Make a card the default of its owner, at Stripe first.

        Args:
            errand: With the card.

        Returns:
            The card's row, and the recoveries to which it is offered.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        user_id, card_id = _who_and_which(errand)
        customer_id = await ensure_customer(user_id, self._customers, self._sessions)
        key = f"{errand_workflow_id(errand.errand_id)}:default"
        await self._cards.use_card(customer_id, card_id, key)
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).make_default(errand.resource_id, user_id)
        return ErrandResult(
            resource_id=errand.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=await self._open_retries(user_id),
        )

    @activity.defn
    async def detach_payment_method(self, errand: StripeErrand) -> ErrandResult:
        """Detach a card, at Stripe first.

        Args:
            errand: With the card.

        Returns:
            The card's row.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        _, card_id = _who_and_which(errand)
        key = f"{errand_workflow_id(errand.errand_id)}:detach"
        await self._cards.detach(card_id, key)
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).detach(errand.resource_id)
        return ErrandResult(resource_id=errand.resource_id)

    async def _open_retries(self, user_id: UUID) -> tuple[str, ...]:
        async with self._sessions() as session:
            rows = await PaymentRetryRepository(session).list_open(user_id=user_id)
        return tuple(row.stripe_invoice_id for row in rows)


def _who_and_which(errand: StripeErrand) -> tuple[UUID, str]:
    if errand.user_id is None or errand.stripe_payment_method_id is None:
        raise InvalidInputError("this errand needs a user and a card")
    return errand.user_id, errand.stripe_payment_method_id
