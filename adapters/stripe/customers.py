"""Customers at Stripe, their cards, and the saving of cards."""

from uuid import UUID

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, metadata_id, object_id, required
from domain.errors import InvalidInputError
from domain.seen import CardSeen, ChargeableSeen, CustomerSeen

PAGE_SIZE = 100


class StripeCustomers:
    """What the product needs of Stripe's customers, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def find(self, user_id: UUID, email: str) -> str | None:
        """Return the customer that was made for a user, if there is one."""
        with translate_stripe_errors():
            page = await self._client.v1.customers.list_async({"email": email, "limit": PAGE_SIZE})
            async for found in page.auto_paging_iter():
                if metadata_id(found, "user_id") == user_id:
                    return str(required(found, "id"))
        return None

    async def create(self, user_id: UUID, email: str, name: str | None, key: str) -> str:
        """Make a user's customer, and return Stripe's id."""
        with translate_stripe_errors():
            made = await self._client.v1.customers.create_async(
                {"email": email, "name": name or email, "metadata": {"user_id": str(user_id)}},
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def read(self, stripe_customer_id: str) -> CustomerSeen:
        """Return a customer with the cards that are attached.

        Raises:
            NotFoundError: Stripe never knew it.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.customers.retrieve_async(stripe_customer_id)
            if field(found, "deleted"):
                return CustomerSeen(stripe_customer_id=stripe_customer_id, is_deleted=True)
            page = await self._client.v1.customers.payment_methods.list_async(
                stripe_customer_id,
                {"type": "card", "limit": PAGE_SIZE},
            )
            cards = [card_seen(card) async for card in page.auto_paging_iter()]
        return CustomerSeen(
            stripe_customer_id=stripe_customer_id,
            currency_code=field(found, "currency"),
            default_card_id=object_id(field(found, "invoice_settings.default_payment_method")),
            cards=tuple(cards),
        )

    async def default_card(self, stripe_customer_id: str) -> str | None:
        """Return the payment method that a customer's invoices are charged to."""
        with translate_stripe_errors():
            found = await self._client.v1.customers.retrieve_async(stripe_customer_id)
        return object_id(field(found, "invoice_settings.default_payment_method"))

    async def chargeable(self, stripe_payment_method_id: str) -> ChargeableSeen:
        """Return a payment method of any type.

        Raises:
            NotFoundError: Stripe does not know it.
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.payment_methods.retrieve_async(stripe_payment_method_id)
        kind = field(found, "type") or "card"
        return ChargeableSeen(
            stripe_payment_method_id=required(found, "id"),
            stripe_customer_id=object_id(field(found, "customer")),
            fingerprint=field(found, f"{kind}.fingerprint") or required(found, "id"),
        )

    async def attach(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
        key: str,
    ) -> CardSeen:
        """Attach a card.

        Raises:
            InvalidInputError: It is no card (`unsupported_payment_method`).
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            attached = await self._client.v1.payment_methods.attach_async(
                stripe_payment_method_id,
                {"customer": stripe_customer_id},
                {"idempotency_key": key},
            )
        return card_seen(attached)

    async def attached(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
    ) -> CardSeen | None:
        """Return a card if it is attached to this customer.

        Raises:
            InvalidInputError: It is no card (`unsupported_payment_method`).
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v1.payment_methods.retrieve_async(stripe_payment_method_id)
        is_theirs = object_id(field(found, "customer")) == stripe_customer_id
        return card_seen(found) if is_theirs else None

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

    async def detach(self, stripe_payment_method_id: str, key: str) -> None:
        """Detach a card from its customer."""
        with translate_stripe_errors():
            await self._client.v1.payment_methods.detach_async(
                stripe_payment_method_id,
                {},
                {"idempotency_key": key},
            )

    async def create_setup_intent(
        self,
        stripe_customer_id: str,
        operation_id: UUID,
        key: str,
    ) -> str:
        """Prepare the saving of a card in a browser, and return the set-up intent's id."""
        with translate_stripe_errors():
            made = await self._client.v1.setup_intents.create_async(
                {
                    "customer": stripe_customer_id,
                    "usage": "off_session",
                    "metadata": {"operation_id": str(operation_id)},
                },
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def find_setup_intent(self, stripe_customer_id: str, operation_id: UUID) -> str | None:
        """Look for a set-up intent that an earlier, unanswered call may have made."""
        with translate_stripe_errors():
            page = await self._client.v1.setup_intents.list_async(
                {"customer": stripe_customer_id, "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if metadata_id(found, "operation_id") == operation_id:
                    return str(required(found, "id"))
        return None

    async def client_secret(self, stripe_setup_intent_id: str) -> str:
        """Return the secret with which a browser saves a card; never stored by us."""
        with translate_stripe_errors():
            found = await self._client.v1.setup_intents.retrieve_async(stripe_setup_intent_id)
        return str(required(found, "client_secret"))


def card_seen(found: stripe.PaymentMethod) -> CardSeen:
    """Return what the product sees of a card.

    Raises:
        InvalidInputError: It is no card (`unsupported_payment_method`).
    """
    card = field(found, "card")
    if card is None:
        raise InvalidInputError("only cards are supported", "unsupported_payment_method")
    return CardSeen(
        stripe_payment_method_id=required(found, "id"),
        brand=field(card, "brand") or "unknown",
        last4=field(card, "last4") or "",
        exp_month=field(card, "exp_month") or 0,
        exp_year=field(card, "exp_year") or 0,
        fingerprint=field(card, "fingerprint"),
    )
