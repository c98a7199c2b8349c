"""Payment methods at Stripe: cards, and other types that can be charged."""

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, object_id, required
from domain.errors import ConflictError, InvalidInputError, NotFoundError
from domain.payments.snapshots import CardSnapshot, ChargeableSnapshot


class StripeCards:
    """Reads and changes payment methods at Stripe."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def attach(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
        key: str,
    ) -> CardSnapshot:
        """Attach a card to a customer.

        Raises:
            InvalidInputError: The payment method is not a card (`unsupported_payment_method`).
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            attached = await self._client.v1.payment_methods.attach_async(
                stripe_payment_method_id,
                {"customer": stripe_customer_id},
                {"idempotency_key": key},
            )
        return card_snapshot(attached)

    async def attached(
        self, stripe_payment_method_id: str, stripe_customer_id: str
    ) -> CardSnapshot:
        """Return a card that is attached to this customer.

        Raises:
            InvalidInputError: The payment method is not a card (`unsupported_payment_method`).
            NotFoundError: The card belongs to another customer, or does not exist.
            ConflictError: The card is attached to no customer (`payment_method_unusable`).
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.payment_methods.retrieve_async(stripe_payment_method_id)
        owner = object_id(field(found, "customer"))
        if owner is None:
            message = "this card was detached or used before, and cannot be attached again"
            raise ConflictError(message, "payment_method_unusable")
        if owner != stripe_customer_id:
            raise NotFoundError("there is no such payment method")
        return card_snapshot(found)

    async def use_card(
        self,
        stripe_customer_id: str,
        stripe_payment_method_id: str,
        key: str,
    ) -> None:
        """Make a card the customer's default for invoices."""
        with translate_stripe_errors():
            await self._client.v1.customers.update_async(
                stripe_customer_id,
                {"invoice_settings": {"default_payment_method": stripe_payment_method_id}},
                {"idempotency_key": key},
            )

    async def default_card(self, stripe_customer_id: str) -> str | None:
        """Return the default payment method of a customer's invoices."""
        with translate_stripe_errors():
            found = await self._client.v1.customers.retrieve_async(stripe_customer_id)
        return object_id(field(found, "invoice_settings.default_payment_method"))

    async def detach(self, stripe_payment_method_id: str, key: str) -> None:
        """Detach a card from its customer."""
        with translate_stripe_errors():
            await self._client.v1.payment_methods.detach_async(
                stripe_payment_method_id,
                {},
                {"idempotency_key": key},
            )

    async def is_detached(self, stripe_payment_method_id: str) -> bool:
        """Tell whether a payment method belongs to no customer, or no longer exists."""
        try:
            found = await self.chargeable(stripe_payment_method_id)
        except NotFoundError:
            return True
        return found.stripe_customer_id is None

    async def chargeable(self, stripe_payment_method_id: str) -> ChargeableSnapshot:
        """Return a payment method of any type.

        Raises:
            NotFoundError: Stripe does not know the payment method.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.payment_methods.retrieve_async(stripe_payment_method_id)
        kind = field(found, "type") or "card"
        return ChargeableSnapshot(
            stripe_payment_method_id=required(found, "id"),
            stripe_customer_id=object_id(field(found, "customer")),
            fingerprint=field(found, f"{kind}.fingerprint") or required(found, "id"),
        )


def card_snapshot(found: stripe.PaymentMethod) -> CardSnapshot:
    """Return the snapshot of a card.

    Raises:
        InvalidInputError: The payment method is not a card (`unsupported_payment_method`).
    """
    card = field(found, "card")
    if card is None:
        raise InvalidInputError("only cards are supported", "unsupported_payment_method")
    return CardSnapshot(
        stripe_payment_method_id=required(found, "id"),
        brand=field(card, "brand") or "unknown",
        last4=field(card, "last4") or "",
        exp_month=field(card, "exp_month") or 0,
        exp_year=field(card, "exp_year") or 0,
        fingerprint=field(card, "fingerprint"),
    )
