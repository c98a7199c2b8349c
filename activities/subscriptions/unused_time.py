"""The activities that price and refund the unused time of a subscription canceled at once."""

from uuid import UUID

from temporalio import activity

from database.payments.models import Payment
from database.payments.refunds import RefundRepository
from database.subscriptions.invoices import InvoiceRepository
from domain.ids import unused_refund_id
from domain.payments.messages import RefundInput
from domain.payments.money import floor_to_step
from domain.payments.rules import (
    PaymentCommandKind,
    PaymentStatus,
    refundable_cents,
    refusal,
    spread,
)
from domain.subscriptions.events import unused_refund_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.messages import NewSubscriptionEvent
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import RefundUnusedInput, UnusedTimeInput
from services.payments.commands import PaymentCommands
from services.subscriptions.changes.pause_credits import PauseCredits
from services.subscriptions.stripe_sync import SubscriptionSync

UNUSED_TIME = "unused time of a canceled subscription"
# Reason: in all other statuses the present period is not paid, or its price was credited already.
_PAID = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED})


class UnusedTimeActivities:
    """The activities that price unused time at Stripe, and refund it."""

    def __init__(
        self, sync: SubscriptionSync, credits: PauseCredits, payments: PaymentCommands
    ) -> None:
        self._sync = sync
        self._credits = credits
        self._payments = payments

    @activity.defn
    async def price_unused_time(self, step_input: UnusedTimeInput) -> int:
        """Ask Stripe what the unused time of a subscription is worth, before it is canceled.

        Args:
            step_input: The subscription, and the cause for the idempotency key.

        Returns:
            Amount in minor units, at most what was paid for the present period.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        row = await self._sync.row(step_input)
        if row.stripe_subscription_id is None:
            return 0
        stripe_id = row.stripe_subscription_id
        snapshot = await self._sync.subscriptions.status(stripe_id)
        if snapshot.subscription_status is SubscriptionStatus.PAUSED:
            # Reason: a resumption that waits for its payment has the credit of the pause.
            await self._credits.keep(step_input, stripe_id)
            snapshot = await self._sync.subscriptions.status(stripe_id)
        start, is_paid = snapshot.current_period_start, True
        if snapshot.subscription_status not in _PAID or start is None:
            return 0
        if snapshot.subscription_status is SubscriptionStatus.PAUSED:
            # Reason: a resumption begins its period at Stripe, even if nobody pays for it.
            paid = await self._credits.paid_since(row.subscription_id, stripe_id, start)
            is_paid = any(each.period_start >= start for each in paid)
        unused = await self._credits.price(step_input, stripe_id, is_period_paid=is_paid)
        since = start if is_paid else unused.since or start
        # Reason: what was given as a present, such as a credit balance, is not paid out.
        paid = await self._credits.paid_since(row.subscription_id, stripe_id, since)
        return min(unused.amount_cents, sum(each.paid_cents + each.credited_cents for each in paid))

    @activity.defn
    async def refund_unused_time(self, step_input: RefundUnusedInput) -> SyncResult:
        """Refund unused time, from the newest payments of the subscription.

        Args:
            step_input: The subscription, and what its unused time is worth.

        Returns:
            The subscription's current state.

        Raises:
            ApplicationError: Stripe refused, or the answer is late.
        """
        parts, currency_code = await self._parts(step_input)
        for payment_id, amount_cents in parts.items():
            refund = RefundInput(
                payment_id=payment_id,
                refund_id=unused_refund_id(step_input.cause, payment_id),
                amount_cents=amount_cents,
                reason=UNUSED_TIME,
            )
            await self._payments.refund(refund)
        events: tuple[NewSubscriptionEvent, ...] = step_input.events
        if parts:
            total = sum(parts.values())
            events = (*events, unused_refund_event(step_input.cause, total, currency_code))
        done = step_input.model_copy(update={"events": events})
        return await self._sync.sync(done, await self._sync.stripe_id(step_input))

    async def _parts(self, step_input: RefundUnusedInput) -> tuple[dict[UUID, int], str]:
        """Return what is refunded of each payment, the same when it is asked again."""
        async with self._sync.sessions() as session:
            payments = await InvoiceRepository(session).payments(step_input.subscription_id)
            refunds = RefundRepository(session)
            available = {}
            for payment in payments:
                refund_id = unused_refund_id(step_input.cause, payment.payment_id)
                made = await refunds.get(refund_id)
                pending = await refunds.pending_cents(payment.payment_id)
                # Reason: what an earlier try has refunded is part of what was available.
                available[payment.payment_id] = (
                    made.amount_cents if made else _left(payment, pending)
                )
        parts = spread(step_input.amount_cents, available)
        currency_code = payments[0].currency_code if payments else ""
        return {
            payment_id: amount
            for payment_id, part in parts.items()
            if (amount := floor_to_step(part, currency_code)) > 0
        }, currency_code


def _left(payment: Payment, pending_cents: int) -> int:
    if refusal(PaymentStatus(payment.payment_status), PaymentCommandKind.REFUND) is not None:
        return 0
    return refundable_cents(payment.amount_cents, payment.refunded_cents, pending_cents)
