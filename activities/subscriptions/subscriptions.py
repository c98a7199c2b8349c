"""How `SubscriptionWorkflow` creates a subscription at Stripe, and looks at it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database.accounts.users import UserRepository
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.ids import subscription_workflow_id
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.selling import already_subscribed, check_currency
from domain.subscriptions.state import SubscriptionState, SyncResult
from domain.subscriptions.steps import CreateInput, OpenInput, ParkInput, SyncInput
from services.payments.customers import StripeCustomerOf
from services.stripe_idempotency import post_once
from services.subscriptions.stripe_sync import SubscriptionSync
from services.subscriptions.view import dump_parked, state_of, unchanged


class SubscriptionActivities:
    """A subscription at Stripe and its view here, brought to agree."""

    def __init__(self, desk: SubscriptionSync) -> None:
        self._desk = desk

    @activity.defn
    async def create_subscription(self, order: CreateInput) -> SyncResult:
        """Create the subscription at Stripe once, however often this is tried.

        Args:
            order: With the request.

        Returns:
            The new subscription; a declined card leaves it incomplete.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._desk.row(order)
        request = order.request.model_copy(update={"trial_days": row.trial_days})
        owner = StripeCustomerOf(request.user_id, self._desk.customers, self._desk.sessions)

        async def create(stripe_customer_id: str) -> str:
            return await self._create(order, request, stripe_customer_id)

        stripe_id = row.stripe_subscription_id
        if stripe_id is None:
            stripe_id = await owner.use(create)
        return await self._desk.look(order, stripe_id)

    @activity.defn
    async def refresh_subscription(self, order: SyncInput) -> SyncResult:
        """Look at Stripe and bring the view up to date.

        Args:
            order: With the hints and the notes that go into the same transaction.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe does not know it, or is down.
        """
        row = await self._desk.row(order)
        stripe_id = row.stripe_subscription_id or await self._desk.find(row)
        if stripe_id is None:
            return await unchanged(self._desk.sessions, order)
        return await self._desk.look(order, stripe_id)

    async def _create(
        self,
        order: CreateInput,
        request: SubscriptionRequest,
        stripe_customer_id: str,
    ) -> str:
        desk = self._desk
        async with desk.sessions.begin() as session:
            # Reason: a cancel must know whether there can be anything at Stripe.
            await SubscriptionRepository(session).note_creation(order.subscription_id, order.at)

        async def find() -> str | None:
            return await desk.subscriptions.find(order.subscription_id, stripe_customer_id)

        async def post(key: str) -> str:
            return await desk.subscriptions.create(
                order.subscription_id,
                stripe_customer_id,
                request,
                key,
            )

        # Reason: another customer is another parameter, which wants another key.
        key = f"{subscription_workflow_id(order.subscription_id)}:create:{stripe_customer_id}"
        return await post_once(key, post, find, is_repeated=order.is_repeated)


class SubscriptionRowActivities:
    """Creates a subscription's row, and shows its parked steps there."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def open_subscription(self, order: OpenInput) -> SubscriptionState | None:
        """Write the row before anything is asked of Stripe, or find the one that is there.

        Args:
            order: With the request, if this is to be a new subscription.

        Returns:
            What the row says; None if there is none and nothing was requested.

        Raises:
            ConflictError: The user has a subscription of this plan already (`already_subscribed`),
                or is billed in another currency (`currency_mismatch`).
        """
        async with self._sessions.begin() as session:
            repository = SubscriptionRepository(session)
            row = await repository.get(order.subscription_id, None)
            if row is None and order.request is not None:
                await _insert(session, order.subscription_id, order.request)
                row = await repository.get(order.subscription_id, None)
            if row is None:
                return None
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)

    @activity.defn
    async def park_subscription(self, order: ParkInput) -> SubscriptionState:
        """Show which steps are parked.

        Args:
            order: With all parked steps, and what happened.

        Returns:
            The subscription as it is now.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self._sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(order.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            row.parked_data = dump_parked(order.parked)
            events = SubscriptionEventRepository(session)
            await events.append(order.subscription_id, order.events)
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)


async def _insert(
    session: AsyncSession,
    subscription_id: UUID,
    request: SubscriptionRequest,
) -> None:
    """Write the row by the rules of selling; two starts of one user wait for each other."""
    await UserRepository(session).lock(request.user_id)
    await _check(session, subscription_id, request)
    trial_days = await _trial_days(session, request)
    await SubscriptionRepository(session).insert(
        subscription_id=subscription_id,
        user_id=request.user_id,
        plan_id=request.plan_id,
        quantity=request.quantity,
        trial_days=trial_days,
        trial_card_fingerprint=request.card_fingerprint if trial_days else None,
        stripe_price_id=request.stripe_price_id,
        subscription_status=SubscriptionStatus.INCOMPLETE,
        workflow_id=subscription_workflow_id(subscription_id),
    )


async def _check(
    session: AsyncSession,
    subscription_id: UUID,
    request: SubscriptionRequest,
) -> None:
    """Refuse what the user may not have beside what they have by now."""
    repository = SubscriptionRepository(session)
    if not request.is_stackable:
        live = await repository.live_of_plan(
            request.user_id,
            request.plan_id,
            subscription_id,
        )
        if live is not None:
            raise already_subscribed(live)
    plan = await PlanRepository(session).get(request.plan_id)
    if plan is not None:
        check_currency(plan.currency_code, await repository.live_currency(request.user_id))


async def _trial_days(session: AsyncSession, request: SubscriptionRequest) -> int:
    """Return how long the trial is; two starts with one card wait for each other too."""
    if not request.trial_days or request.is_trial_given:
        return request.trial_days
    fingerprint = request.card_fingerprint if request.is_trial_once_per_card else None
    if fingerprint is not None:
        await PaymentMethodRepository(session).lock_card(fingerprint)
    repository = SubscriptionRepository(session)
    had = await repository.has_had_trial(request.user_id, request.plan_id, fingerprint)
    return 0 if had else request.trial_days
