"""The times at which a subscription's workflow acts without being asked."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.subscriptions.lifecycle import SubscriptionStatus
    from domain.subscriptions.state import SubscriptionState, Timer

# Reason: a payment retry that waits for a card also ends with grace, and must report first.
AFTER_GRACE = timedelta(seconds=1)
TRIAL_NOTICE = timedelta(days=3)


class Timers:
    """The end of grace, the notice of a trial's end, and the end of a pause.

    What a timer is about is a time, too: each time is handled once.

    Args:
        handled: Times that were handled, by timer.
    """

    def __init__(self, handled: Mapping[Timer, datetime]) -> None:
        self.handled = dict(handled)

    def next_at(self, state: SubscriptionState | None) -> datetime | None:
        """Return when the next timer is due; None if none is."""
        return min((at for _, _, at in self._open(state)), default=None)

    def take_due(self, state: SubscriptionState | None) -> tuple[Timer, datetime] | None:
        """Take out a timer that is due, with the time that it is about; None if none is due."""
        for timer, about, due_at in self._open(state):
            if due_at <= workflow.now():
                self.handled[timer] = about
                return timer, about
        return None

    def _open(self, state: SubscriptionState | None) -> list[tuple[Timer, datetime, datetime]]:
        """Return the timers that are not handled: what they are about, and when they are due."""
        if state is None:
            return []
        timers: list[tuple[Timer, datetime | None, timedelta]] = [
            (Timer.GRACE_END, state.grace_ends_at, AFTER_GRACE),
            (Timer.TRIAL_NOTICE, _trial_end(state), -TRIAL_NOTICE),
            (Timer.RESUME, _resume_at(state), timedelta()),
        ]
        return [
            (timer, about, about + delay)
            for timer, about, delay in timers
            if about is not None and about != self.handled.get(timer)
        ]


def _trial_end(state: SubscriptionState) -> datetime | None:
    is_trialing = state.subscription_status is SubscriptionStatus.TRIALING
    # Reason: workflows that have begun without this timer go on without it while they replay.
    if not is_trialing or state.trial_end is None or not workflow.patched("trial-notice"):
        return None
    return state.trial_end


def _resume_at(state: SubscriptionState) -> datetime | None:
    is_paused = state.subscription_status is SubscriptionStatus.PAUSED
    return state.resume_at if is_paused else None
