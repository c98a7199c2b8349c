"""Plans the change of a subscription for the end of its period, by a schedule at Stripe."""

from dataclasses import dataclass
from uuid import UUID

from adapters.stripe.schedules import CurrentSchedule, StripeSchedules
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.errors import ApplicationError, IllegalCommandError, NotFoundError
from domain.subscriptions.lifecycle import RefusalCode
from domain.subscriptions.previews import ChangeTerms
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.stripe_idempotency import is_later_attempt, post_once


def refuse_foreign_schedule(subscription_id: UUID, subscription: SubscriptionSnapshot) -> None:
    """Check that no schedule manages a subscription but one of ours.

    Args:
        subscription_id: Our id of the subscription, which is in the metadata of our schedules.
        subscription: The subscription at Stripe.

    Raises:
        IllegalCommandError: Somebody else made its schedule at Stripe (`managed_at_stripe`).
    """
    is_ours = subscription.schedule_owner_id == subscription_id
    if subscription.stripe_schedule_id is not None and not is_ours:
        raise IllegalCommandError(
            "a schedule that was made at Stripe manages the subscription; change it there",
            RefusalCode.MANAGED_AT_STRIPE,
            {"subscription_status": subscription.subscription_status},
        )


@dataclass(frozen=True)
class ScheduledChanges:
    """Plans, keeps and drops the one change that waits for the end of the period."""

    subscriptions: StripeSubscriptions
    schedules: StripeSchedules

    async def plan(
        self,
        subscription_id: UUID,
        subscription: SubscriptionSnapshot,
        terms: ChangeTerms,
        command_id: UUID,
        key: str,
    ) -> None:
        """Plan a change for the end of the period; it replaces the one that waits.

        Args:
            subscription_id: Our id of the subscription.
            subscription: The subscription at Stripe.
            terms: The change.
            command_id: The command, which makes the schedule ours.
            key: Prefix of the idempotency keys.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        current = await self._ensure(subscription, key)
        try:
            await self._write(subscription_id, subscription, terms, current, command_id, key)
        except ApplicationError as error:
            if current.command_id is None and not error.is_retryable:
                # Reason: a schedule without its change would be taken for somebody else's.
                await self._release(current.stripe_schedule_id, key)
            raise

    async def is_begun_by_us(self, subscription: SubscriptionSnapshot) -> bool:
        """Tell whether an earlier attempt of this activity made the schedule, and no more.

        A new schedule has no metadata yet; one that changes nothing is taken for ours.
        """
        schedule_id = subscription.stripe_schedule_id
        if schedule_id is None or not is_later_attempt():
            return False
        current = await self.schedules.read(schedule_id)
        return current.command_id is None and current.is_new

    async def is_planned_by(self, command_id: UUID, subscription: SubscriptionSnapshot) -> bool:
        """Tell whether an earlier attempt of this command has planned the change that waits."""
        schedule_id = subscription.stripe_schedule_id
        if schedule_id is None or not is_later_attempt():
            return False
        return (await self.schedules.read(schedule_id)).command_id == command_id

    async def keep(self, subscription_id: UUID, stripe_id: str, key: str) -> None:
        """Carry a new card or discount over into the change that waits; else it would be undone.

        Args:
            subscription_id: Our id of the subscription.
            stripe_id: Stripe's id of the subscription.
            key: Prefix of the idempotency keys.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        subscription = await self.subscriptions.status(stripe_id)
        planned, schedule_id = subscription.scheduled_change, subscription.stripe_schedule_id
        is_ours = subscription.schedule_owner_id == subscription_id
        if planned is None or schedule_id is None or not is_ours:
            return
        current = await self.schedules.read(schedule_id)
        terms = ChangeTerms(stripe_price_id=planned.stripe_price_id, quantity=planned.quantity)
        if current.command_id is not None:
            await self._write(
                subscription_id, subscription, terms, current, current.command_id, key
            )

    async def release(
        self, subscription_id: UUID, subscription: SubscriptionSnapshot, key: str
    ) -> None:
        """Release a subscription from our schedule, and so drop the change that waits.

        Args:
            subscription_id: Our id of the subscription.
            subscription: The subscription at Stripe.
            key: Prefix of the idempotency key.

        Raises:
            IllegalCommandError: Somebody else made its schedule at Stripe (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        refuse_foreign_schedule(subscription_id, subscription)
        if subscription.stripe_schedule_id is not None:
            await self._release(subscription.stripe_schedule_id, key)

    async def _release(self, schedule_id: str, key: str) -> None:
        async def post(numbered_key: str) -> bool:
            await self.schedules.release(schedule_id, numbered_key)
            return True

        async def find() -> bool | None:
            return not (await self.schedules.read(schedule_id)).is_running or None

        await post_once(f"{key}:release:{schedule_id}", post, find)

    async def _ensure(self, subscription: SubscriptionSnapshot, key: str) -> CurrentSchedule:
        """Return the subscription's schedule, whose present phase ends with the present period."""
        stripe_id = subscription.stripe_subscription_id
        current = await self.schedules.of_subscription(stripe_id)
        if current is not None and current.command_id is not None:
            if current.phase_end == subscription.current_period_end:
                return current
            # Reason: the period was moved at Stripe, and its schedule does not follow.
            await self._release(current.stripe_schedule_id, key)

        async def post(numbered_key: str) -> CurrentSchedule:
            return await self.schedules.read(await self.schedules.create(stripe_id, numbered_key))

        async def find() -> CurrentSchedule | None:
            # Reason: a new schedule has no metadata yet. One that changes nothing is taken for
            # that of a call of ours whose answer was lost.
            found = await self.schedules.of_subscription(stripe_id)
            return found if found is not None and found.is_new else None

        made = await post_once(f"{key}:schedule", post, find)
        if not made.phase:
            raise NotFoundError("the new schedule has no phase")
        return made

    async def _write(
        self,
        subscription_id: UUID,
        subscription: SubscriptionSnapshot,
        terms: ChangeTerms,
        current: CurrentSchedule,
        command_id: UUID,
        key: str,
    ) -> None:
        metadata = {"subscription_id": str(subscription_id), "command_id": str(command_id)}
        card = await self.subscriptions.default_card(subscription.stripe_subscription_id)

        async def post(numbered_key: str) -> bool:
            await self.schedules.plan(current, subscription, terms, metadata, card, numbered_key)
            return True

        # Reason: the present phase is one of the parameters, and goes on at a renewal.
        await post_once(f"{key}:plan:{current.phase['start_date']}", post, _is_planned_again)


async def _is_planned_again() -> bool | None:
    """Find nothing: to plan the same once more changes nothing."""
    return None
