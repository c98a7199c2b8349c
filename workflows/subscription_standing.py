"""What a mailbox knows of its subscription, and how it is brought up to date."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.subscription_rows import SubscriptionRowActivities
    from domain.billing import (
        CommandAnswer,
        EventNote,
        Refreshed,
        SubscriptionCommand,
        SubscriptionOrder,
        SubscriptionStart,
        SubscriptionState,
    )
    from domain.errors import IllegalCommandError
    from domain.subscriptions import FINAL, Effect, decide
    from workflows.mailbox import Mailbox
    from workflows.recoveries import Recoveries
    from workflows.search_attributes import STATUS
    from workflows.timeouts import RECORD, STRIPE_CALL

AFTER_GRACE = timedelta(seconds=1)

Step = Callable[[Any, SubscriptionOrder], Coroutine[Any, Any, Refreshed]]


class SubscriptionStanding:
    """The state, the recoveries that belong to it, and the one way in which both change."""

    def __init__(self, start: SubscriptionStart, box: Mailbox) -> None:
        self.state: SubscriptionState | None = None
        self.recoveries = Recoveries({})
        self.grace_told: datetime | None = None
        self._subscription_id = start.subscription_id
        self._box = box
        if start.state is not None:
            self.take_up(start.state)

    def take_up(self, state: SubscriptionState | None) -> None:
        """Start from what the row, or the run before, says."""
        self.state = state
        self.recoveries = Recoveries(state.recoveries if state else {})

    def order(self, **what: Any) -> SubscriptionOrder:
        """Write an order for an activity, on this workflow's time."""
        return SubscriptionOrder(subscription_id=self._subscription_id, at=workflow.now(), **what)

    async def advance(self, step: Step, order: SubscriptionOrder) -> None:
        """Take a step that nobody waits for; one that cannot be taken parks the subscription."""
        try:
            await self.take(step, order)
        except ActivityError as error:
            await self._park(error, order.notes)

    async def take(self, step: Step, order: SubscriptionOrder) -> None:
        """Take a step and follow where it leads.

        Args:
            step: An activity that ends with a look at Stripe.
            order: Its argument.

        Raises:
            ActivityError: The step was refused for good.
        """
        refreshed = await workflow.execute_activity_method(
            step,
            order,
            **STRIPE_CALL,
            summary=order.summary,
        )
        before, self.state = self.state, refreshed.state
        if Effect.STOP_RECOVERIES in refreshed.effects:
            await self.recoveries.stop(self._box.closed_invoice_ids)
        elif Effect.RECOVER in refreshed.effects:
            await self.recoveries.start(refreshed)
        await self.recoveries.look(refreshed.unpaid_stripe_invoice_ids)
        status = refreshed.state.subscription_status
        if before is None or before.subscription_status is not status:
            workflow.upsert_search_attributes([STATUS.value_set(status)])
        workflow.set_current_details(_told(self.carried()))

    def is_over(self) -> bool:
        """Whether nothing can happen to this subscription any more."""
        return self.state is None or self.state.subscription_status in FINAL

    def next_due_at(self) -> datetime | None:
        """Return when something has to be done by itself; None if somebody must ask first."""
        ends_at = self.untold_grace_end()
        return None if ends_at is None else _told_at(ends_at)

    def untold_grace_end(self) -> datetime | None:
        """Return when access ends; None if it does not, or if that is told."""
        ends_at = self.state.grace_ends_at if self.state else None
        return None if ends_at == self.grace_told else ends_at

    def refusal(self, command: SubscriptionCommand) -> CommandAnswer | None:
        """Return why a command does not fit; None if it does."""
        if self.state is None:
            return None  # before the first step nobody knows; the turn decides
        decision = decide(self.state.subscription_status, command.kind)
        if decision.refusal is None:
            return None
        return CommandAnswer(
            error_code=IllegalCommandError.code,
            message=decision.refusal,
            details={"subscription_status": self.state.subscription_status},
        )

    def carried(self) -> SubscriptionState | None:
        """Return what the next run needs of this one."""
        open_ones = {"recoveries": self.recoveries.open}
        return self.state.model_copy(update=open_ones) if self.state else None

    async def _park(self, error: ActivityError, notes: tuple[EventNote, ...]) -> None:
        # Reason: an error that no retry mends needs a person; ending the workflow would hide it.
        self.state = await workflow.execute_activity_method(
            SubscriptionRowActivities.park_subscription,
            self.order(parked_reason=str(error.cause or error), notes=notes),
            **RECORD,
            summary="park",
        )
        workflow.set_current_details(_told(self.carried()))


def _told_at(ends_at: datetime) -> datetime:
    # Reason: a recovery that waits for a card ends then, too; it speaks first, not by chance.
    # Mailboxes that have told of it at once do so again when their histories are replayed.
    return ends_at + AFTER_GRACE if workflow.patched("recovery-speaks-first") else ends_at


def _told(state: SubscriptionState | None) -> str:
    if state is None:
        return ""
    told = f"**{state.subscription_status}**"
    if state.stripe_subscription_id:
        told += f" as `{state.stripe_subscription_id}`."
    if state.grace_ends_at:
        told += f" Grace ends at {state.grace_ends_at:%Y-%m-%d %H:%M} UTC."
    for stripe_invoice_id, status in state.recoveries.items():
        told += f" Recovery of `{stripe_invoice_id}`: {status}."
    if state.parked_reason:
        told += f" **Needs a person:** {state.parked_reason}"
    return told
