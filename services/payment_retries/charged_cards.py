"""Which card an unpaid invoice is charged to."""

from adapters.stripe.cards import StripeCards
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.ids import charge_key
from domain.payment_retries.lifecycle import AttemptTrigger
from domain.payment_retries.messages import ChargeInput
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot
from services.stripe_idempotency import post_once


class ChargedCards:
    """Chooses the card of a charge, and replaces the failed one where it stood."""

    def __init__(self, cards: StripeCards, subscriptions: StripeSubscriptions) -> None:
        self._cards = cards
        self._subscriptions = subscriptions

    async def choose(self, order: ChargeInput, invoice: UnpaidInvoice) -> ChargeableSnapshot | None:
        """Return what is to be charged; None if there is nothing, or it was removed at Stripe.

        Raises:
            NotFoundError: Stripe does not know it; what was removed is known, and nobody's.
            ApplicationError: Stripe is down.
        """
        card_id = order.stripe_payment_method_id or invoice.card_id
        if card_id is None:
            return None
        card = await self._cards.chargeable(card_id)
        return card if card.stripe_customer_id is not None else None

    async def replace_failed(
        self,
        order: ChargeInput,
        invoice: UnpaidInvoice,
        card: ChargeableSnapshot,
    ) -> None:
        """Make a new card the subscription's own; the customer's default was set already.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id, card_id = order.stripe_subscription_id, card.stripe_payment_method_id
        is_new = order.trigger is AttemptTrigger.NEW_CARD
        if not is_new or invoice.subscription_card_id in {None, card_id}:
            return

        async def post(key: str) -> bool:
            await self._subscriptions.use_card(stripe_id, card_id, key)
            return True

        async def find() -> bool | None:
            return await self._subscriptions.default_card(stripe_id) == card_id or None

        key = f"{charge_key(order.stripe_invoice_id, order.attempt)}:card"
        await post_once(key, post, find, is_repeated=order.is_repeated)
