"""The activities of commands about trials and the first payment."""

from datetime import datetime

from temporalio import activity

from adapters.stripe.subscription_commands import StripeSubscriptionCommands
from domain.errors import CardDeclinedError, InvalidInputError, PaymentRefusedError
from domain.ids import command_key, subscription_workflow_id
from domain.payment_retries.declines import AUTHENTICATION_REQUIRED
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.subscriptions.snapshots import SubscriptionSnapshot
from domain.subscriptions.state import SyncResult
from domain.subscriptions.steps import CommandInput
from services.stripe_idempotency import is_later_attempt, post_once
from services.subscriptions.changes.period_moves import PeriodMoves
from services.subscriptions.command_refusals import refusing_by_status
from services.subscriptions.stripe_sync import SubscriptionSync


class TrialActivities:
    """The activities that extend or end a trial, and look a first payment up."""

    def __init__(
        self, sync: SubscriptionSync, commands: StripeSubscriptionCommands, moves: PeriodMoves
    ) -> None:
        self._sync = sync
        self._subscription_commands = commands
        self._moves = moves

    @activity.defn
    async def extend_trial(self, step_input: CommandInput) -> SyncResult:
        """Let a trial end later, and with it the change that waits for its end.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            InvalidInputError: The trial ends then, or later, already (`trial_end_not_later`).
            IllegalCommandError: A schedule that is not ours manages it (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        trial_end = step_input.command.trial_end
        stripe_id = await self._sync.stripe_id(step_input)
        before = await self._sync.subscriptions.status(stripe_id)
        if trial_end is None or not (_is_later(trial_end, before) or is_later_attempt()):
            raise InvalidInputError(
                "the trial ends at that time, or later, already",
                "trial_end_not_later",
                {"trial_end": before.trial_end and before.trial_end.isoformat()},
            )

        async def post(key: str) -> bool:
            await self._subscription_commands.extend_trial(stripe_id, trial_end, key)
            return True

        async def find() -> bool | None:
            snapshot = await self._sync.subscriptions.status(stripe_id)
            return snapshot.trial_end == trial_end or None

        key = _key(step_input, "extend-trial")
        async with (
            self._moves.moving(step_input, stripe_id, key),
            refusing_by_status(self._sync, step_input.command.kind, stripe_id),
        ):
            await post_once(key, post, find)
        return await self._sync.sync(step_input, stripe_id)

    @activity.defn
    async def end_trial(self, step_input: CommandInput) -> SyncResult:
        """End a trial now, and charge the first period. Without a card the subscription is paused.

        The change that waits is made at the end of that period; a pause drops it.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state.

        Raises:
            PaymentRefusedError: The charge was declined; the trial goes on.
            IllegalCommandError: A schedule that is not ours manages it (`managed_at_stripe`).
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)

        async def post(key: str) -> bool:
            await self._subscription_commands.end_trial(stripe_id, key)
            return True

        async def find() -> bool | None:
            snapshot = await self._sync.subscriptions.status(stripe_id)
            return snapshot.subscription_status is not SubscriptionStatus.TRIALING or None

        key = _key(step_input, "end-trial")
        try:
            async with (
                self._moves.moving(step_input, stripe_id, key),
                refusing_by_status(self._sync, step_input.command.kind, stripe_id),
            ):
                await post_once(key, post, find)
        except CardDeclinedError as error:
            raise PaymentRefusedError(error.message, details=error.details) from error
        return await self._sync.sync(step_input, stripe_id)

    @activity.defn
    async def confirm_subscription(self, step_input: CommandInput) -> SyncResult:
        """Look the first payment up, after the customer has authenticated it.

        Args:
            step_input: The subscription and the command.

        Returns:
            The subscription's current state; still incomplete if the customer has to act.

        Raises:
            PaymentRefusedError: The payment was declined, or not authenticated.
            ApplicationError: Stripe refused, or is down.
        """
        stripe_id = await self._sync.stripe_id(step_input)
        snapshot = await self._sync.subscriptions.status(stripe_id)
        latest = snapshot.latest_stripe_invoice_id
        if snapshot.subscription_status is SubscriptionStatus.INCOMPLETE and latest is not None:
            invoice = await self._sync.invoices.read(latest)
            if invoice.decline_code not in {None, AUTHENTICATION_REQUIRED}:
                details = {
                    "decline_code": invoice.decline_code,
                    "advice_code": invoice.advice_code,
                    "next_action_url": invoice.hosted_invoice_url,
                }
                raise PaymentRefusedError("the first payment has failed", details=details)
        return await self._sync.sync(step_input, stripe_id)


def _is_later(trial_end: datetime, before: SubscriptionSnapshot) -> bool:
    return before.trial_end is None or trial_end > before.trial_end


def _key(step_input: CommandInput, purpose: str) -> str:
    workflow_id = subscription_workflow_id(step_input.subscription_id)
    return command_key(workflow_id, purpose, str(step_input.command.command_id))
