"""Sells subscriptions on Stripe's Checkout pages, never twice."""

from dataclasses import dataclass
from uuid import UUID

from adapters.stripe.checkout_sessions import StripeCheckoutSessions
from adapters.stripe.customers import StripeCustomers
from database.accounts.users import UserRepository
from database.session import Sessions
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from database.subscriptions.models import CheckoutSession
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError, ProviderRejectedError
from domain.ids import stripe_operation_workflow_id
from domain.stripe_operations import CloseCheckoutSessions, CreateCheckoutSession, HostedPage
from domain.subscriptions.checkouts import CheckoutSnapshot, CheckoutStatus, checkout_open
from domain.subscriptions.lifecycle import FINAL
from domain.subscriptions.selling import already_subscribed
from services.payments.customers import UserStripeCustomer
from services.stripe_idempotency import post_once
from services.subscriptions.selling import check_sellable, trial_days_of


@dataclass(frozen=True)
class Checkouts:
    """Opens and closes Checkout sessions; a user has at most one open page of a plan."""

    checkout_sessions: StripeCheckoutSessions
    customers: StripeCustomers
    sessions: Sessions

    async def open(self, operation: CreateCheckoutSession) -> HostedPage:
        """Open a page on which a user can subscribe to a plan.

        The row is written first, so that whoever sells the same plan otherwise knows of the page.

        Args:
            operation: What is sold; its resource id becomes the id of the subscription.

        Raises:
            ConflictError: The user has this plan already (`already_subscribed`), is billed in
                another currency, or the plan is being sold otherwise (`checkout_open`).
            ApplicationError: Stripe refused, or is down.
        """
        request, subscription_id = operation.request, operation.resource_id
        await self.close(
            CloseCheckoutSessions.before(operation.operation_id, subscription_id, request)
        )
        trial_days = await self._write(operation)
        owner = UserStripeCustomer(request.user_id, self.customers, self.sessions)

        async def create(stripe_customer_id: str) -> CheckoutSnapshot:
            return await self._create(operation, trial_days, stripe_customer_id)

        try:
            snapshot = await owner.use(create)
        except (NotFoundError, ProviderRejectedError):
            await self._settle(subscription_id, CheckoutStatus.EXPIRED)
            raise
        async with self.sessions.begin() as session:
            is_wanted = await CheckoutSessionRepository(session).store(subscription_id, snapshot)
        if not is_wanted:
            await self._expire(snapshot.stripe_checkout_session_id, operation.operation_id)
        if not is_wanted or snapshot.url is None or snapshot.expires_at is None:
            raise checkout_open(subscription_id)
        return HostedPage(url=snapshot.url, expires_at=snapshot.expires_at)

    async def close(self, operation: CloseCheckoutSessions) -> None:
        """Close the open pages of a user and plan, so that nobody pays there any more.

        Args:
            operation: The user, and the plan that is sold otherwise now; a page with its resource
                id stays open: the one that is being made.

        Raises:
            ConflictError: The customer has just subscribed on one of them (`already_subscribed`).
            ApplicationError: Stripe is down.
        """
        async with self.sessions() as session:
            rows = await CheckoutSessionRepository(session).list_open(
                operation.user_id, operation.plan_id, operation.resource_id
            )
        for row in rows:
            status = await self._close(row, operation.operation_id)
            is_paid = status is CheckoutStatus.COMPLETE
            if is_paid and not operation.is_stackable and not await self._has_ended(row):
                # Reason: until its subscription has a row, the page is all that tells of it.
                raise already_subscribed(row.subscription_id)
            await self._settle(row.subscription_id, status)

    async def _write(self, operation: CreateCheckoutSession) -> int:
        """Write the row if the selling rules allow, and return the length of the trial."""
        request, subscription_id = operation.request, operation.resource_id
        async with self.sessions.begin() as session:
            await UserRepository(session).lock(request.user_id)
            await check_sellable(session, subscription_id, request)
            values = {
                "subscription_id": subscription_id,
                "user_id": request.user_id,
                "plan_id": request.plan_id,
                "trial_days": await trial_days_of(session, request),
            }
            repository = CheckoutSessionRepository(session)
            await repository.insert(values)
            row = await repository.get(subscription_id)
        if row is None or row.checkout_status != CheckoutStatus.OPEN:
            raise checkout_open(subscription_id)
        return row.trial_days

    async def _create(
        self, operation: CreateCheckoutSession, trial_days: int, stripe_customer_id: str
    ) -> CheckoutSnapshot:
        request = operation.request.model_copy(update={"trial_days": trial_days})

        async def post(key: str) -> CheckoutSnapshot:
            return await self.checkout_sessions.create(
                operation.resource_id, stripe_customer_id, request, operation.way_back, key
            )

        async def find() -> CheckoutSnapshot | None:
            return await self.checkout_sessions.find(operation.resource_id, stripe_customer_id)

        # Reason: Stripe requires the same parameters per key, and the customer is a parameter.
        workflow_id = stripe_operation_workflow_id(operation.operation_id)
        return await post_once(f"{workflow_id}:checkout:{stripe_customer_id}", post, find)

    async def _close(self, row: CheckoutSession, operation_id: UUID) -> CheckoutStatus:
        """Expire a session at Stripe, and return what became of it."""
        stripe_id = row.stripe_checkout_session_id or await self._find(row)
        if stripe_id is None:
            # Reason: whoever is still making it sees by the row that it is not wanted any more.
            return CheckoutStatus.EXPIRED
        return await self._expire(stripe_id, operation_id)

    async def _find(self, row: CheckoutSession) -> str | None:
        owner = UserStripeCustomer(row.user_id, self.customers, self.sessions)
        stripe_customer_id = await owner.known()
        if stripe_customer_id is None:
            return None
        found = await self.checkout_sessions.find(row.subscription_id, stripe_customer_id)
        return found.stripe_checkout_session_id if found else None

    async def _expire(self, stripe_id: str, operation_id: UUID) -> CheckoutStatus:
        async def post(key: str) -> CheckoutStatus:
            return (await self.checkout_sessions.expire(stripe_id, key)).checkout_status

        async def find() -> CheckoutStatus | None:
            status = (await self.checkout_sessions.read(stripe_id)).checkout_status
            return None if status is CheckoutStatus.OPEN else status

        key = f"{stripe_operation_workflow_id(operation_id)}:expire:{stripe_id}"
        try:
            return await post_once(key, post, find)
        except ProviderRejectedError:
            # Reason: the customer has paid on it, or its time is over.
            status = await find()
            if status is None:
                raise
            return status

    async def _has_ended(self, row: CheckoutSession) -> bool:
        async with self.sessions() as session:
            made = await SubscriptionRepository(session).get(row.subscription_id, None)
        return made is not None and made.subscription_status in FINAL

    async def _settle(self, subscription_id: UUID, status: CheckoutStatus) -> None:
        async with self.sessions.begin() as session:
            await CheckoutSessionRepository(session).settle(subscription_id, status)
