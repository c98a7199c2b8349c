"""Cards of customers at Stripe."""

import stripe

from adapters.stripe.client import object_id, our_errors
from domain.errors import ConflictError, InvalidInputError, NotFoundError
from domain.seen import CardSeen


class StripeCards:
    """Attaches and detaches cards.

    Args:
        client: Opened by whoever uses this.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def attach(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
        key: str,
    ) -> CardSeen:
        """Attach a card; one that is attached to this customer already is success.

        Raises:
            InvalidInputError: It is no card.
            NotFoundError: It belongs to somebody else.
            ConflictError: It was detached or used, and can never be attached again.
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            try:
                attached = await self._client.v1.payment_methods.attach_async(
                    stripe_payment_method_id,
                    {"customer": stripe_customer_id},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError as error:
                if error.param == "customer":
                    raise
                attached = await self._of_customer(stripe_payment_method_id, stripe_customer_id)
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
        """Make a card the customer's default for invoices.

        Raises:
            NotFoundError: It belongs to somebody else.
            ConflictError: It was detached at Stripe.
            ApplicationError: See `our_errors`.
        """
        with our_errors():
            try:
                await self._client.v1.customers.update_async(
                    stripe_customer_id,
                    {"invoice_settings": {"default_payment_method": stripe_payment_method_id}},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError:
                await self._of_customer(stripe_payment_method_id, stripe_customer_id)
                raise

    async def detach(self, stripe_payment_method_id: str, key: str) -> None:
        """Detach a card from its customer; one that is detached already is success."""
        with our_errors():
            try:
                await self._client.v1.payment_methods.detach_async(
                    stripe_payment_method_id,
                    {},
                    {"idempotency_key": key},
                )
            except stripe.InvalidRequestError:
                seen = await self._client.v1.payment_methods.retrieve_async(
                    stripe_payment_method_id,
                )
                if seen.customer is not None:
                    raise

    async def _of_customer(
        self,
        stripe_payment_method_id: str,
        stripe_customer_id: str,
    ) -> stripe.PaymentMethod:
        """Return a card that is this customer's, or say what it is instead."""
        methods = self._client.v1.payment_methods
        seen = await methods.retrieve_async(stripe_payment_method_id)
        owner = object_id(seen.customer)
        if owner is None:
            message = "this card was detached or used before, and cannot be attached again"
            raise ConflictError(message, "payment_method_unusable")
        if owner != stripe_customer_id:
            raise NotFoundError("there is no such payment method")
        return seen
