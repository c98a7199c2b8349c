"""The activities of `SubscriptionWorkflow` that create, sync, open and park a subscription."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from database.accounts.users import UserRepository
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError, ProviderRejectedError
from domain.ids import subscription_workflow_id
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.state import SubscriptionState, SyncResult
from domain.subscriptions.steps import CreateInput, OpenInput, ParkInput, SyncInput
from services.payments.customers import UserStripeCustomer
from services.stripe_idempotency import post_once
from services.subscriptions.adoption import insert_adopted
from services.subscriptions.selling import (
    check_sellable,
    end_refused_start,
    is_about_discount,
    trial_days_of,
)
from services.subscriptions.stripe_sync import SubscriptionSync
from services.subscriptions.view import dump_parked, state_of, unchanged


class SubscriptionActivities:
    """The activities that create a subscription at Stripe and sync its view."""

    def __init__(self, sync: SubscriptionSync) -> None:
        self._sync = sync

    @activity.defn
    async def create_subscription(self, step_input: CreateInput) -> SyncResult:
        """Create the subscription at Stripe once, however often the activity is retried.

        Args:
            step_input: The subscription and its request.

        Returns:
            The new subscription; a declined card leaves it incomplete, and a refused discount
            ends it.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._sync.row(step_input)
        request = step_input.request.model_copy(update={"trial_days": row.trial_days})
        owner = UserStripeCustomer(request.user_id, self._sync.customers, self._sync.sessions)

        async def create(stripe_customer_id: str) -> str:
            return await self._create(step_input, request, stripe_customer_id)

        stripe_id = row.stripe_subscription_id
        try:
            if stripe_id is None:
                stripe_id = await owner.use(create)
        except (ProviderRejectedError, NotFoundError) as error:
            if not is_about_discount(error):
                raise
            return await end_refused_start(self._sync.sessions, step_input, error)
        return await self._sync.sync(step_input, stripe_id)

    @activity.defn
    async def refresh_subscription(self, step_input: SyncInput) -> SyncResult:
        """Read the subscription from Stripe and sync its view.

        Args:
            step_input: The subscription, with hints and events to store in the same transaction.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe does not know the subscription, or is down.
        """
        row = await self._sync.row(step_input)
        stripe_id = row.stripe_subscription_id or await self._sync.find(row)
        if stripe_id is None:
            return await unchanged(self._sync.sessions, step_input)
        return await self._sync.sync(step_input, stripe_id)

    async def _create(
        self,
        step_input: CreateInput,
        request: SubscriptionRequest,
        stripe_customer_id: str,
    ) -> str:
        sync = self._sync
        async with sync.sessions.begin() as session:
            # Reason: a cancellation must know whether the subscription may exist at Stripe.
            await SubscriptionRepository(session).mark_creation_sent(
                step_input.subscription_id, step_input.at
            )

        async def find() -> str | None:
            return await sync.subscriptions.find(step_input.subscription_id, stripe_customer_id)

        async def post(key: str) -> str:
            return await sync.subscriptions.create(
                step_input.subscription_id,
                stripe_customer_id,
                request,
                key,
            )

        # Reason: Stripe requires the same parameters per key, and the customer is a parameter.
        key = f"{subscription_workflow_id(step_input.subscription_id)}:create:{stripe_customer_id}"
        return await post_once(key, post, find, is_repeated=step_input.is_repeated)


class SubscriptionRowActivities:
    """The activities that write a subscription's row without calling Stripe."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def open_subscription(self, step_input: OpenInput) -> SubscriptionState | None:
        """Write a subscription's row before Stripe is called, or find the existing row.

        Args:
            step_input: The subscription, with the request or the adoption if it is new.

        Returns:
            The subscription's state; None if there is no row and no request.

        Raises:
            ConflictError: The user already has a subscription of this plan (`already_subscribed`),
                or is billed in another currency (`currency_mismatch`).
        """
        async with self._sessions.begin() as session:
            repository = SubscriptionRepository(session)
            row = await repository.get(step_input.subscription_id, None)
            if row is None and step_input.request is not None:
                await _insert(session, step_input.subscription_id, step_input.request)
                row = await repository.get(step_input.subscription_id, None)
            elif row is None and step_input.adoption is not None:
                await insert_adopted(session, step_input.subscription_id, step_input.adoption)
                row = await repository.get(step_input.subscription_id, None)
            if row is None:
                return None
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)

    @activity.defn
    async def park_subscription(self, step_input: ParkInput) -> SubscriptionState:
        """Show the parked steps in the subscription's row.

        Args:
            step_input: The subscription, its parked steps, and events to store.

        Returns:
            The subscription's current state.

        Raises:
            NotFoundError: There is no such subscription.
        """
        async with self._sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(step_input.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            row.parked_data = dump_parked(step_input.parked)
            events = SubscriptionEventRepository(session)
            await events.append(step_input.subscription_id, step_input.events)
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return await state_of(session, row, latest)


async def _insert(
    session: AsyncSession,
    subscription_id: UUID,
    request: SubscriptionRequest,
) -> None:
    """Insert the row if the selling rules allow; concurrent starts of one user are serialized."""
    await UserRepository(session).lock(request.user_id)
    await check_sellable(session, subscription_id, request)
    trial_days = await trial_days_of(session, request)
    await SubscriptionRepository(session).insert(
        subscription_id=subscription_id,
        user_id=request.user_id,
        plan_id=request.plan_id,
        quantity=request.quantity,
        trial_days=trial_days,
        trial_card_fingerprint=request.card_fingerprint if trial_days else None,
        stripe_price_id=request.stripe_price_id,
        replaces_subscription_id=request.replaces_subscription_id,
        subscription_status=SubscriptionStatus.INCOMPLETE,
        workflow_id=subscription_workflow_id(subscription_id),
    )
