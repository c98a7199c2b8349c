"""Lets the change that waits for the end of a period follow where a command moves that end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from domain.errors import ApplicationError
from domain.subscriptions.lifecycle import CommandKind, decide
from domain.subscriptions.previews import ChangeTerms
from domain.subscriptions.steps import CommandInput
from services.stripe_idempotency import is_later_attempt
from services.subscriptions.changes.scheduled import ScheduledChanges, refuse_foreign_schedule
from services.subscriptions.stripe_sync import SubscriptionSync


@dataclass(frozen=True)
class PeriodMoves:
    """Moves the end of a period at Stripe, and the change that waits for it too."""

    sync: SubscriptionSync
    scheduled: ScheduledChanges

    @asynccontextmanager
    async def moving(
        self, step_input: CommandInput, stripe_id: str, key: str
    ) -> AsyncIterator[None]:
        """Release the change that waits, and plan it for the end of the period that it then has.

        It is planned again too if Stripe refuses what is done in between; and after a repetition,
        whatever an earlier attempt has done.

        Args:
            step_input: The subscription and the command.
            stripe_id: Stripe's id of the subscription.
            key: Prefix of the idempotency keys.

        Raises:
            IllegalCommandError: Somebody else made its schedule at Stripe (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        terms = await self._take_out(step_input, stripe_id, key)
        try:
            yield
        except ApplicationError as error:
            # Reason: after an outage the activity is tried again, and remembers the change.
            if not error.is_retryable:
                await self._put_back(step_input, stripe_id, terms, key)
            raise
        await self._put_back(step_input, stripe_id, terms, key)

    async def _take_out(
        self, step_input: CommandInput, stripe_id: str, key: str
    ) -> ChangeTerms | None:
        """Release the schedule, and return the change that waits; None if none does."""
        subscription = await self.sync.subscriptions.status(stripe_id)
        if await self.scheduled.is_begun_by_us(subscription):
            return await self._remembered(step_input)
        refuse_foreign_schedule(step_input.subscription_id, subscription)
        planned = subscription.scheduled_change
        if subscription.stripe_schedule_id is None:
            return await self._remembered(step_input)
        if not await self.scheduled.is_planned_by(step_input.command.command_id, subscription):
            await self.scheduled.release(step_input.subscription_id, subscription, key)
        if planned is None:
            return None
        return ChangeTerms(stripe_price_id=planned.stripe_price_id, quantity=planned.quantity)

    async def _remembered(self, step_input: CommandInput) -> ChangeTerms | None:
        """Return the change that an earlier attempt has taken out; the row still shows it."""
        waiting = (await self.sync.row(step_input)).scheduled_change_data
        if waiting is None or not is_later_attempt():
            return None
        return ChangeTerms(stripe_price_id=waiting["stripe_price_id"], quantity=waiting["quantity"])

    async def _put_back(
        self, step_input: CommandInput, stripe_id: str, terms: ChangeTerms | None, key: str
    ) -> None:
        subscription = await self.sync.subscriptions.status(stripe_id)
        status = subscription.subscription_status
        # Reason: a paused or ended subscription has no period whose end a change could wait for.
        if terms is None or decide(status, CommandKind.SCHEDULE_CHANGE).refusal is not None:
            return
        command_id = step_input.command.command_id
        await self.scheduled.plan(step_input.subscription_id, subscription, terms, command_id, key)
