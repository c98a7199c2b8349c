"""What persons ask of a subscription, carried out at Stripe."""

from uuid import UUID

import structlog
from temporalio import activity

from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.ids import command_key, subscription_workflow_id
from domain.subscriptions.events import status_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CancelInput, ChangeCardInput
from services.stripe_idempotency import post_once
from services.subscriptions.stripe_sync import SubscriptionSync
from services.subscriptions.view import dump_parked, state_of

log = structlog.get_logger(__name__)


class SubscriptionCommandActivities:
    """Every POST carries a key made of workflow, purpose and command id.

    Without the command's id an older answer of the same purpose would be replayed.
    """

    def __init__(self, desk: SubscriptionSync) -> None:
        self._desk = desk

    @activity.defn
    async def cancel_subscription(self, order: CancelInput) -> SyncResult:
        """Cancel at once, and void all that is still open.

        It reads as little as it can: whatever shape a subscription has, its customer can leave.

        Args:
            order: Which, and what makes its keys.

        Returns:
            The subscription as it is now, and whether invoices are still to be voided; a look at
            Stripe is still to follow.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._desk.row(order)
        stripe_id = row.stripe_subscription_id or await self._desk.find(row)
        voided: list[str] | None = []
        if stripe_id is not None:
            await self._desk.subscriptions.cancel(stripe_id)
            voided = await self._void_all(
                stripe_id, _key(order.subscription_id, "cancel", order.cause)
            )
        ended = await self._write_end(order, stripe_id, voided or [])
        return ended.model_copy(update={"has_open_invoices": voided is None})

    @activity.defn
    async def change_payment_method(self, order: ChangeCardInput) -> SyncResult:
        """Make another card the subscription's own.

        Args:
            order: Which card.

        Returns:
            The subscription as it is now.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._desk.stripe_id(order)
        card = order.stripe_payment_method_id

        async def post(key: str) -> bool:
            await self._desk.subscriptions.use_card(stripe_id, card, key)
            return True

        async def find() -> bool | None:
            return await self._desk.subscriptions.default_card(stripe_id) == card or None

        key = _key(order.subscription_id, "card", str(order.command_id))
        await post_once(key, post, find)
        return await self._desk.look(order, stripe_id)

    async def _void_all(self, stripe_id: str, key: str) -> list[str] | None:
        """Void what is open of a canceled subscription; None if that is still to be done."""
        try:
            return await self._desk.void_all(stripe_id, key)
        except Exception as error:  # noqa: BLE001 - whatever it is, canceled is canceled
            # Reason: nothing else would void them; the step that follows shows what is in the way.
            log.warning("invoices of a canceled subscription are open", error=str(error))
            return None

    async def _write_end(
        self,
        order: CancelInput,
        stripe_id: str | None,
        voided: list[str],
    ) -> SyncResult:
        async with self._desk.sessions.begin() as session:
            row = await SubscriptionRepository(session).lock(order.subscription_id)
            if row is None:
                raise NotFoundError("there is no such subscription")
            before, after = SubscriptionStatus(row.subscription_status), SubscriptionStatus.CANCELED
            notes, seq = list(order.events), row.last_event_seq
            if before is not after:
                notes.append(status_event(before, after, seq, order.summary))
            row.stripe_subscription_id = stripe_id
            row.subscription_status = after
            row.canceled_at = row.canceled_at or order.at
            row.grace_ends_at, row.next_action_url = None, None
            row.is_ended_by_us, row.is_owing = True, False
            row.parked_data = dump_parked(order.parked)
            await InvoiceRepository(session).mark(voided, "void")
            events = SubscriptionEventRepository(session)
            await events.append(order.subscription_id, notes)
            latest = await InvoiceRepository(session).stripe_id(row.latest_invoice_id)
            return SyncResult(state=await state_of(session, row, latest))


def _key(subscription_id: UUID, purpose: str, cause: str) -> str:
    return command_key(subscription_workflow_id(subscription_id), purpose, cause)
