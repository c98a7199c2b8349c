"""The activities that attach, detach and prepare cards, and set the default card."""

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
from services.payments.customers import UserStripeCustomer
from services.stripe_idempotency import post_once


class CardActivities:
    """The activities that change a user's cards, at Stripe and in our rows."""

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
            operation: The card; the operation's resource id becomes the row's id.

        Returns:
            The id of the card's row, and the unpaid invoices that a new default card is offered to.

        Raises:
            ApplicationError: Stripe refused the card, or is down.
        """
        owner = UserStripeCustomer(operation.user_id, self._customers, self._sessions)

        async def attach(stripe_customer_id: str) -> tuple[str, CardSnapshot]:
            return stripe_customer_id, await self._attach(operation, stripe_customer_id)

        customer_id, card = await owner.use(attach)
        card_id = card.stripe_payment_method_id
        offered_invoice_ids: tuple[str, ...] = ()
        if operation.is_default:
            offered_invoice_ids = await self._make_default(operation, customer_id, card_id)
        async with self._sessions.begin() as session:
            methods = PaymentMethodRepository(session)
            row_id = await methods.put(operation.resource_id, operation.user_id, card)
            if operation.is_default:
                await methods.make_default(row_id, operation.user_id)
        return StripeOperationResult(
            resource_id=row_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered_invoice_ids,
        )

    @activity.defn
    async def set_default_payment_method(
        self, operation: SetDefaultPaymentMethod
    ) -> StripeOperationResult:
        """Make a card the default of its owner, at Stripe first.

        Args:
            operation: The card.

        Returns:
            The id of the card's row, and the unpaid invoices that the card is offered to.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        user_id, card_id = operation.user_id, operation.stripe_payment_method_id
        customer_id = await UserStripeCustomer(user_id, self._customers, self._sessions).ensure()
        offered_invoice_ids = await self._make_default(operation, customer_id, card_id)
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).make_default(operation.resource_id, user_id)
        return StripeOperationResult(
            resource_id=operation.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered_invoice_ids,
        )

    @activity.defn
    async def detach_payment_method(self, operation: DetachPaymentMethod) -> StripeOperationResult:
        """Detach a card, at Stripe first.

        Args:
            operation: The card.

        Returns:
            The id of the card's row.

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
            # Reason: Stripe refuses to attach an attached card, even to the same customer.
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

        offered_invoice_ids = await self._offers.offer(customer_id, card_id)
        try:
            await post_once(_key(operation, "default"), post, find)
        except (NotFoundError, ProviderRejectedError):
            await self._offers.withdraw(offered_invoice_ids, card_id)
            # Reason: this raises a clear error if the card is not the customer's; else Stripe's own
            # error is raised.
            await self._cards.attached(card_id, customer_id)
            raise
        return offered_invoice_ids


def _key(operation: StripeOperation, *parts: str) -> str:
    return ":".join([stripe_operation_workflow_id(operation.operation_id), *parts])


class SetupIntentActivities:
    """The activity that creates set-up intents at Stripe."""

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
        """Create a set-up intent, with which a browser saves a card.

        Args:
            operation: The user.

        Returns:
            The set-up intent's id; a history must not hold its secret.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        owner = UserStripeCustomer(operation.user_id, self._customers, self._sessions)

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

        setup_intent_id = await owner.use(create)
        return StripeOperationResult(
            resource_id=operation.resource_id, stripe_setup_intent_id=setup_intent_id
        )
