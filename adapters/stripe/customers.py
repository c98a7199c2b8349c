"""Customers and their cards at Stripe."""

from uuid import UUID

import stripe

from adapters.stripe.client import object_id, our_errors
from domain.errors import InvalidInputError
from domain.seen import CardSeen


class StripeCustomers:
    """What the activities need of Stripe's customers, and no more."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(self, user_id: UUID, email: str, name: str | None) -> str:
        """Return the user's one customer, made now if it is not there yet.

        Raises:
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            # Reason: idempotency keys are forgotten after a day, a lost answer may be older.
            page = await self._client.v1.customers.list_async({"email": email, "limit": 100})
            for found in page.data:
                metadata = found.metadata.to_dict() if found.metadata else {}
                if metadata.get("user_id") == str(user_id):
                    return found.id
            made = await self._client.v1.customers.create_async(
                {"email": email, "name": name or email, "metadata": {"user_id": str(user_id)}},
                {"idempotency_key": f"customer-{user_id}"},
            )
        return made.id

    async def attach(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
        key: str,
    ) -> CardSeen:
        """Attach a card; one that is attached to this customer already is success.

        Raises:
            InvalidInputError: It is no card, or it belongs to somebody else.
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            try:
                attached = await self._client.v1.payment_methods.attach_async(
                    stripe_payment_method_id,
                    {"customer": stripe_customer_id},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError:
                attached = await self._client.v1.payment_methods.retrieve_async(
                    stripe_payment_method_id,
                )
                if object_id(attached.customer) != stripe_customer_id:
                    raise
        if attached.card is None:
            raise InvalidInputError("only cards are supported", "unsupported_payment_method")
        return CardSeen(
            stripe_payment_method_id=attached.id,
            brand=attached.card.brand,
            last4=attached.card.last4 or "",
            exp_month=attached.card.exp_month,
            exp_year=attached.card.exp_year,
        )

    async def use_card(
        self,
        stripe_customer_id: str,
        stripe_payment_method_id: str,
        key: str,
    ) -> None:
        """Make a card the customer's default for invoices."""
        with our_errors():
            await self._client.v1.customers.update_async(
                stripe_customer_id,
                {"invoice_settings": {"default_payment_method": stripe_payment_method_id}},
                {"idempotency_key": key},
            )

    async def detach(self, stripe_payment_method_id: str, key: str) -> None:
        """Detach a card from its customer."""
        with our_errors():
            await self._client.v1.payment_methods.detach_async(
                stripe_payment_method_id,
                {},
                {"idempotency_key": key},
            )

    async def create_setup_intent(self, stripe_customer_id: str, key: str) -> str:
        """Prepare that a browser saves a card for later charges; return Stripe's id of it."""
        with our_errors():
            made = await self._client.v1.setup_intents.create_async(
                {"customer": stripe_customer_id, "usage": "off_session"},
                {"idempotency_key": key},
            )
        return made.id
