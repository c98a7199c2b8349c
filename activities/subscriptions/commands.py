"""The activities that carry out a person's commands to a subscription at Stripe."""

from uuid import UUID

import structlog
from temporalio import activity

from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import ApplicationError, NotFoundError
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.events import status_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CancelInput, ChangeCardInput
from services.stripe_idempotency import post_once
from services.subscriptions.changes.pause_credits import PauseCredits
from services.subscriptions.changes.scheduled import ScheduledChanges
from services.subscriptions.mails import add_end_mail
from services.subscriptions.stripe_sync import SubscriptionSync
from services.subscriptions.view import dump_parked, state_of

# How often a cancel tries to leave the credit of a pause to the customer.
CREDIT_ATTEMPTS = 4
log = structlog.get_logger(__name__)


class SubscriptionCommandActivities:
    """The activities that cancel a subscription and change its card.

    Every POST carries a key of workflow, purpose and command id. Without the command id, Stripe
    would replay the answer of an older command.
    """

    def __init__(
        self, sync: SubscriptionSync, scheduled: ScheduledChanges, credits: PauseCredits
    ) -> None:
        self._sync = sync
        self._scheduled = scheduled
        self._credits = credits

    @activity.defn
    async def cancel_subscription(self, step_input: CancelInput) -> SyncResult:
        """Cancel a subscription at once, and void its open invoices.

        It reads as little as possible, so that the cancellation works for any subscription.

        Args:
            step_input: The subscription, and the cause for the idempotency keys.

        Returns:
            The subscription's current state, and whether invoices are still to be voided; a sync
            has to follow.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._sync.row(step_input)
        stripe_id = row.stripe_subscription_id or await self._sync.find(row)
        voided: list[str] | None = []
        if stripe_id is not None:
            if row.scheduled_change_data is not None:
                await self._release_schedule(step_input, stripe_id)
            is_paused = row.subscription_status == SubscriptionStatus.PAUSED
            if is_paused:
                await self._leave_credit(step_input, stripe_id, row.stripe_customer_id)
            await self._sync.subscriptions.cancel(stripe_id)
            if is_paused and step_input.refunded_cents:
                await _drop_credit(self._credits, stripe_id, row.stripe_customer_id)
            voided = await self._void_all(
                stripe_id, _key(step_input.subscription_id, "cancel", step_input.cause)
            )
        return await self._write_end(step_input, stripe_id, voided)

    @activity.defn
    async def change_payment_method(self, step_input: ChangeCardInput) -> SyncResult:
        """Set another card as the subscription's default card.

        Args:
            step_input: The subscription and the card.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        card = step_input.stripe_payment_method_id

        async def post(key: str) -> bool:
            await self._sync.subscriptions.use_card(stripe_id, card, key)
            return True

        async def find() -> bool | None:
            return await self._sync.subscriptions.default_card(stripe_id) == card or None

        key = _key(step_input.subscription_id, "card", str(step_input.command_id))
        await post_once(key, post, find)
        # Reason: a change that waits sets the card anew when it is made.
        await self._scheduled.keep(step_input.subscription_id, stripe_id, key)
        return await self._sync.sync(step_input, stripe_id)

    async def _leave_credit(
        self, step_input: CancelInput, stripe_id: str, customer_id: str | None
    ) -> None:
        """Leave the credit of a pause to the customer, unless it is refunded.

        Reason: with the cancel, Stripe removes the prorations that wait.
        """
        try:
            await self._credits.keep(step_input, stripe_id)
            if customer_id is not None:
                await self._credits.move_to_balance(step_input, stripe_id, customer_id)
        except Exception as error:
            is_outage = isinstance(error, ApplicationError) and error.is_retryable
            # Reason: a key that may not do this is an outage without an end, and a cancel must
            # work for any subscription.
            if is_outage and activity.info().attempt < CREDIT_ATTEMPTS:
                raise  # nothing was canceled yet
            log.exception("pause_credit_not_moved", stripe_subscription_id=stripe_id)

    async def _release_schedule(self, step_input: CancelInput, stripe_id: str) -> None:
        """Drop the change that waits; the subscription is canceled in any case."""
        try:
            subscription = await self._sync.subscriptions.status(stripe_id)
            key = _key(step_input.subscription_id, "cancel", step_input.cause)
            await self._scheduled.release(step_input.subscription_id, subscription, key)
        except Exception as error:  # noqa: BLE001 - the cancel ends the schedule too
            log.warning("schedule_not_released", error=str(error))

    async def _void_all(self, stripe_id: str, key: str) -> list[str] | None:
        """Void a canceled subscription's open invoices; None if that is still to be done."""
        try:
            return await self._sync.void_all(stripe_id, key)
        except Exception as error:  # noqa: BLE001 - the subscription is canceled in any case
            # Reason: an owed step voids the invoices later, and is parked if that fails too.
            log.warning("canceled_subscription_has_open_invoices", error=str(error))
            return None

    async def _write_end(
        self,
        step_input: CancelInput,
        stripe_id: str | None,
        voided: list[str] | None,
    ) -> SyncResult:
        async with self._sync.sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(step_input.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            before, after = SubscriptionStatus(row.subscription_status), SubscriptionStatus.CANCELED
            events, seq = list(step_input.events), row.last_event_seq
            if before is not after:
                events.append(status_event(before, after, seq, step_input.summary))
            row.stripe_subscription_id = stripe_id
            row.subscription_status = after
            row.canceled_at = row.canceled_at or step_input.at
            row.grace_ends_at, row.next_action_url = None, None
            row.scheduled_change_data = None
            row.is_ended_by_us, row.is_owing = True, False
            row.parked_data = dump_parked(step_input.parked)
            invoices = InvoiceRepository(session)
            unsettled = voided
            if unsettled is None:
                unsettled = [
                    each.stripe_invoice_id for each in await invoices.list_open(row.subscription_id)
                ]
            await invoices.mark(voided or [], "void")
            event_repository = SubscriptionEventRepository(session)
            await event_repository.append(step_input.subscription_id, events)
            await add_end_mail(session, row, before)
            latest = await invoices.stripe_id(row.latest_invoice_id)
            return SyncResult(
                state=await state_of(session, row, latest),
                has_open_invoices=voided is None,
                late_stripe_invoice_ids=tuple(unsettled),
            )


async def _drop_credit(credits: PauseCredits, stripe_id: str, customer_id: str | None) -> None:
    """Delete the credit that is refunded; no invoice of another subscription has it."""
    try:
        if customer_id is not None:
            await credits.drop(stripe_id, customer_id)
    except Exception as error:  # noqa: BLE001 - the subscription is canceled in any case
        log.warning("pause_credit_not_deleted", error=str(error))


def _key(subscription_id: UUID, purpose: str, cause: str) -> str:
    return command_key(subscription_workflow_id(subscription_id), purpose, cause)
