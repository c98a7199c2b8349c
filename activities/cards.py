"""Stripe's small jobs about cards: attach, default, detach, follow what changed."""

from uuid import UUID

from temporalio import activity

from activities.customers import StripeCustomerOf
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.invoices import StripeInvoices
from database.payment_methods import PaymentMethodRepository
from database.payment_retries import PaymentRetryRepository
from database.session import Sessions
from database.users import UserRepository
from domain.errands import ErrandResult, StripeErrand
from domain.errors import InvalidInputError, NotFoundError, ProviderRejectedError
from domain.ids import errand_workflow_id
from domain.seen import CardSeen
from services.stripe_idempotency import post_once


class CardActivities:
    """A user's cards at Stripe and here."""

    def __init__(
        self,
        customers: StripeCustomers,
        invoices: StripeInvoices,
        sessions: Sessions,
    ) -> None:
        self._customers = customers
        self._invoices = invoices
        self._sessions = sessions

    @activity.defn
    async def attach_payment_method(self, errand: StripeErrand) -> ErrandResult:
        """Attach a card to the user's customer, and make it the default if asked.

        Args:
            errand: With the card; its resource id becomes the row's.

        Returns:
            The card's row, and the payment retries to which a new default card is offered.

        Raises:
            ApplicationError: Stripe refused the card, or is down.
        """
        user_id, card_id = _user_and_card(errand)
        owner = StripeCustomerOf(user_id, self._customers, self._sessions)

        async def attach(stripe_customer_id: str) -> tuple[str, CardSeen]:
            return stripe_customer_id, await self._attach(errand, card_id, stripe_customer_id)

        customer_id, card = await owner.use(attach)
        card_id = card.stripe_payment_method_id
        if errand.is_default:
            await self._make_default(errand, customer_id, card_id)
        async with self._sessions.begin() as session:
            methods = PaymentMethodRepository(session)
            row_id = await methods.put(errand.resource_id, user_id, card)
            if errand.is_default:
                await methods.make_default(row_id, user_id)
        offered = await self._offer(customer_id, card_id) if errand.is_default else ()
        return ErrandResult(
            resource_id=row_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered,
        )

    @activity.defn
    async def set_default_payment_method(self, errand: StripeErrand) -> ErrandResult:
        """Make a card the default of its owner, at Stripe first.

        Args:
            errand: With the card.

        Returns:
            The card's row, and the payment retries to which it is offered.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        user_id, card_id = _user_and_card(errand)
        customer_id = await StripeCustomerOf(user_id, self._customers, self._sessions).ensure()
        await self._make_default(errand, customer_id, card_id)
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).make_default(errand.resource_id, user_id)
        return ErrandResult(
            resource_id=errand.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=await self._offer(customer_id, card_id),
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
        _, card_id = _user_and_card(errand)

        async def post(key: str) -> bool:
            await self._customers.detach(card_id, key)
            return True

        async def find() -> bool | None:
            return await self._is_detached(card_id) or None

        try:
            await post_once(f"{errand_workflow_id(errand.errand_id)}:detach", post, find)
        except (NotFoundError, ProviderRejectedError):
            if not await self._is_detached(card_id):
                raise
        async with self._sessions.begin() as session:
            await PaymentMethodRepository(session).detach(errand.resource_id)
        return ErrandResult(resource_id=errand.resource_id)

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
            offered = await self._offer(customer_id, card_id)
        return ErrandResult(
            resource_id=errand.resource_id,
            stripe_payment_method_id=card_id,
            retried_stripe_invoice_ids=offered,
        )

    async def _attach(
        self,
        errand: StripeErrand,
        card_id: str,
        stripe_customer_id: str,
    ) -> CardSeen:
        async def post(key: str) -> CardSeen:
            return await self._customers.attach(card_id, stripe_customer_id, key)

        async def find() -> CardSeen | None:
            return await self._customers.attached(card_id, stripe_customer_id)

        key = f"{errand_workflow_id(errand.errand_id)}:attach:{stripe_customer_id}"
        try:
            return await post_once(key, post, find)
        except (NotFoundError, ProviderRejectedError) as error:
            if isinstance(error, NotFoundError) and error.details.get("param") == "customer":
                raise
            # Reason: Stripe refuses to attach what is attached, also to its own customer.
            attached = await self._customers.attached(card_id, stripe_customer_id)
            if attached is None:
                raise
            return attached

    async def _make_default(self, errand: StripeErrand, customer_id: str, card_id: str) -> None:
        async def post(key: str) -> bool:
            await self._customers.use_card(customer_id, card_id, key)
            return True

        async def find() -> bool | None:
            return await self._customers.default_card(customer_id) == card_id or None

        await post_once(f"{errand_workflow_id(errand.errand_id)}:default", post, find)

    async def _offer(self, stripe_customer_id: str, card_id: str) -> tuple[str, ...]:
        """Note that a card was set while these invoices were unpaid; return them.

        Their payment retries may not have begun yet: whoever begins one finds the note.
        """
        owed = await self._invoices.list_owed_of(stripe_customer_id)
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).offer(owed, card_id)
        return tuple(owed)

    async def _is_detached(self, card_id: str) -> bool:
        try:
            return (await self._customers.chargeable(card_id)).stripe_customer_id is None
        except NotFoundError:
            return True


def _user_and_card(errand: StripeErrand) -> tuple[UUID, str]:
    if errand.user_id is None or errand.stripe_payment_method_id is None:
        raise InvalidInputError("this operation needs a user and a card")
    return errand.user_id, errand.stripe_payment_method_id
