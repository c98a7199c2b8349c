"""Chooses the card that an unpaid invoice is charged to."""

from adapters.stripe.cards import StripeCards
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.ids import charge_key
from domain.payment_retries.lifecycle import AttemptTrigger
from domain.payment_retries.messages import ChargeInput
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot
from services.stripe_idempotency import post_once


class ChargedCards:
    """Chooses the card of a charge, and replaces a failed card on the subscription."""

    def __init__(self, cards: StripeCards, subscriptions: StripeSubscriptions) -> None:
        self._cards = cards
        self._subscriptions = subscriptions

    async def choose(
        self, charge_input: ChargeInput, invoice: UnpaidInvoice
    ) -> ChargeableSnapshot | None:
        """Return the card to charge; None if there is no card, or it was detached at Stripe.

        Raises:
            NotFoundError: Stripe does not know the card; it still knows a detached card.
            ApplicationError: Stripe is down.
        """
        card_id = charge_input.stripe_payment_method_id or invoice.card_id
        if card_id is None:
            return None
        card = await self._cards.chargeable(card_id)
        return card if card.stripe_customer_id is not None else None

    async def replace_failed(
        self,
        charge_input: ChargeInput,
        invoice: UnpaidInvoice,
        card: ChargeableSnapshot,
    ) -> None:
        """Set a new card as the subscription's default; it is the customer's default already.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id, card_id = charge_input.stripe_subscription_id, card.stripe_payment_method_id
        is_new = charge_input.trigger is AttemptTrigger.NEW_CARD
        if not is_new or invoice.subscription_card_id in {None, card_id}:
            return

        async def post(key: str) -> bool:
            await self._subscriptions.use_card(stripe_id, card_id, key)
            return True

        async def find() -> bool | None:
            return await self._subscriptions.default_card(stripe_id) == card_id or None

        key = f"{charge_key(charge_input.stripe_invoice_id, charge_input.attempt)}:card"
        await post_once(key, post, find, is_repeated=charge_input.is_repeated)
