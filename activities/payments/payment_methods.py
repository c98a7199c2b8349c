"""Stripe's small jobs about cards: attach, default, detach."""

from temporalio import activity

from adapters.stripe.cards import StripeCards
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.setup_intents import StripeSetupIntents
from database.payments.payment_methods import PaymentMethodRepository
from database.session import Sessions
from domain.errors import (
    ConflictError,
    NotFoundError,
    ProviderRejectedError,
)
from domain.ids import stripe_operation_workflow_id
from domain.payments.snapshots import CardSnapshot
from domain.stripe_operations import (
    AttachPaymentMethod,
    CreateSetupIntent,
    DetachPaymentMethod,
    SetDefaultPaymentMethod,
    StripeOperation,
    StripeOperationResult,
)
from services.payment_retries.card_offers import CardOffers
from services.payments.customers import StripeCustomerOf
from services.stripe_idempotency import post_once


class CardActivities:
    """A user's cards at Stripe and here."""

    def __init__(
        self,
        cards: StripeCards,
        customers: StripeCustomers,
        offers: CardOffers,
        sessions: Sessions,
    ) -> None:
        self._cards = cards
        self._customers = customers
        self._offers = offers
        self._sessions = sessions

    @activity.defn
    async def attach_payment_method(self, operation: AttachPaymentMethod) -> StripeOperationResult:
        """Attach a card to the user's customer, and make it the default if asked.

        Args:
            operation: With the card; its resource id becomes the row's.

        Returns:
            The card's row, and the payment retries to which a new default card is offered.

        Raises:
            ApplicationError: Stripe refused the card, or is down.
        """
        owner = StripeCustomerOf(operation.user_id, self._customers, self._sessions)

        async def attach(stripe_customer_id: str) -> tuple[str, CardSnapshot]:
            return stripe_customer_id, await self._attach(operation, stripe_customer_id)

        customer_id, card = await owner.use(attach)
        card_id = card.stripe_payment_method_id
        offered: tuple[str, ...] = ()
        if operation.is_default:
            offered = await self._make_default(operation, customer_id, card_id)
        async with self._sessions.begin() as session:
            methods = PaymentMethodRepository(session)
            row_id = await methods.put(operation.resource_id, operation.user_id, card)
            if operation.is_default:
                await methods.make_default(row_id, operation.user_id)
        return StripeOperationResult(
            resource_id=row_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered,
        )

    @activity.defn
    async def set_default_payment_method(
        self, operation: SetDefaultPaymentMethod
    ) -> StripeOperationResult:
        """Make a card the default of its owner, at Stripe first.

        Args:
            operation: With the card.

        Returns:
            The card's row, and the payment retries to which it is offered.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        user_id, card_id = operation.user_id, operation.stripe_payment_method_id
        customer_id = await StripeCustomerOf(user_id, self._customers, self._sessions).ensure()
        offered = await self._make_default(operation, customer_id, card_id)
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).make_default(operation.resource_id, user_id)
        return StripeOperationResult(
            resource_id=operation.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered,
        )

    @activity.defn
    async def detach_payment_method(self, operation: DetachPaymentMethod) -> StripeOperationResult:
        """Detach a card, at Stripe first.

        Args:
            operation: With the card.

        Returns:
            The card's row.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        card_id = operation.stripe_payment_method_id

        async def post(key: str) -> bool:
            await self._cards.detach(card_id, key)
            return True

        async def find() -> bool | None:
            return await self._cards.is_detached(card_id) or None

        try:
            await post_once(_key(operation, "detach"), post, find)
        except (NotFoundError, ProviderRejectedError):
            if not await self._cards.is_detached(card_id):
                raise
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).detach(operation.resource_id)
        return StripeOperationResult(resource_id=operation.resource_id)

    async def _attach(
        self,
        operation: AttachPaymentMethod,
        stripe_customer_id: str,
    ) -> CardSnapshot:
        card_id = operation.stripe_payment_method_id

        async def post(key: str) -> CardSnapshot:
            return await self._cards.attach(card_id, stripe_customer_id, key)

        async def find() -> CardSnapshot | None:
            try:
                return await self._cards.attached(card_id, stripe_customer_id)
            except (ConflictError, NotFoundError):
                return None

        try:
            return await post_once(_key(operation, "attach", stripe_customer_id), post, find)
        except (NotFoundError, ProviderRejectedError) as error:
            if isinstance(error, NotFoundError) and error.details.get("param") == "customer":
                raise
            # Reason: Stripe refuses to attach what is attached, also to its own customer.
            return await self._cards.attached(card_id, stripe_customer_id)

    async def _make_default(
        self,
        operation: StripeOperation,
        customer_id: str,
        card_id: str,
    ) -> tuple[str, ...]:
        """Make a card the default at Stripe; return the unpaid invoices that it is offered to."""

        async def post(key: str) -> bool:
            await self._cards.use_card(customer_id, card_id, key)
            return True

        async def find() -> bool | None:
            return await self._cards.default_card(customer_id) == card_id or None

        offered = await self._offers.offer(customer_id, card_id)
        try:
            await post_once(_key(operation, "default"), post, find)
        except (NotFoundError, ProviderRejectedError):
            await self._offers.withdraw(offered, card_id)
            # Reason: says what it is if it is not theirs; else Stripe's own words count.
            await self._cards.attached(card_id, customer_id)
            raise
        return offered


def _key(operation: StripeOperation, *parts: str) -> str:
    return ":".join([stripe_operation_workflow_id(operation.operation_id), *parts])


class SetupIntentActivities:
    """Set-up intents at Stripe."""

    def __init__(
        self,
        setup_intents: StripeSetupIntents,
        customers: StripeCustomers,
        sessions: Sessions,
    ) -> None:
        self._setup_intents = setup_intents
        self._customers = customers
        self._sessions = sessions

    @activity.defn
    async def create_setup_intent(self, operation: CreateSetupIntent) -> StripeOperationResult:
        """Prepare the saving of a card in a browser.

        Args:
            operation: With the user.

        Returns:
            The set-up intent's id; a history must not hold its secret.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        owner = StripeCustomerOf(operation.user_id, self._customers, self._sessions)

        async def create(stripe_customer_id: str) -> str:
            async def post(key: str) -> str:
                return await self._setup_intents.create(
                    stripe_customer_id,
                    operation.operation_id,
                    key,
                )

            async def find() -> str | None:
                return await self._setup_intents.find(
                    stripe_customer_id,
                    operation.operation_id,
                )

            key = _key(operation, "setup", stripe_customer_id)
            return await post_once(key, post, find)

        made = await owner.use(create)
        return StripeOperationResult(resource_id=operation.resource_id, stripe_setup_intent_id=made)
