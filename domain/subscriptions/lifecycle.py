"""The lifecycle of a subscription: one table decides, everything else obeys.

Stripe holds the truth about money, so most transitions are *followed*: we see a status at Stripe
and derive what has to happen here. Commands are *decided*: allowed, or refused with the reason.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from domain.base import Frozen


class SubscriptionStatus(StrEnum):
    """Stripe's eight statuses, by Stripe's names."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


class Access(StrEnum):
    """What a customer may do with the product."""

    FULL = "full"
    GRACE = "grace"
    NONE = "none"


class CommandKind(StrEnum):
    """What can be asked of a subscription."""

    CANCEL_NOW = "cancel_now"
    CHANGE_PAYMENT_METHOD = "change_payment_method"
    RETRY_PARKED = "retry_parked"


class Effect(StrEnum):
    """What an observation brings about on our side."""

    START_GRACE = "start_grace"
    CLEAR_GRACE = "clear_grace"
    CANCEL_AT_STRIPE = "cancel_at_stripe"


class Decision(Frozen):
    """What follows from a status and a command or an observation.

    Args:
        next_status: The status afterwards; the present one if refused.
        effects: What to do on our side, in this order.
        refusal: Why the command does not fit, for a person; None if it does.
    """

    next_status: SubscriptionStatus
    effects: tuple[Effect, ...] = ()
    refusal: str | None = None


FINAL = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
_OWING = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
_ENTITLED = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})


class CommandRule(Frozen):
    """Where a command is allowed, and where it leads.

    Args:
        allowed: The statuses that it is allowed in; in all others it is refused.
        next_status: What Stripe is brought to; None leaves the status as it is.
    """

    allowed: frozenset[SubscriptionStatus]
    next_status: SubscriptionStatus | None = None


_LIVE = frozenset(SubscriptionStatus) - FINAL
# The table of commands: the workflow decides by it, and the API answers by it.
COMMANDS: Mapping[CommandKind, CommandRule] = {
    CommandKind.CANCEL_NOW: CommandRule(allowed=_LIVE, next_status=SubscriptionStatus.CANCELED),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandRule(allowed=_LIVE),
    CommandKind.RETRY_PARKED: CommandRule(allowed=frozenset(SubscriptionStatus)),
}


def decide(status: SubscriptionStatus, command: CommandKind) -> Decision:
    """Decide about a command.

    Args:
        status: Where the subscription stands.
        command: What is asked.

    Returns:
        The status that Stripe will be brought to, or a refusal.
    """
    rule = COMMANDS[command]
    if status not in rule.allowed:
        return Decision(next_status=status, refusal=f"the subscription is {status}")
    return Decision(next_status=rule.next_status or status)


def follow(
    status: SubscriptionStatus,
    seen: SubscriptionStatus,
    is_ended_by_us: bool = False,
) -> Decision:
    """Follow what Stripe says.

    Args:
        status: Where we believed the subscription stood.
        seen: Where Stripe says it stands.
        is_ended_by_us: A command or a last resort has ended it, not Stripe.

    Returns:
        The seen status, and what that brings about here.
    """
    if status in FINAL and seen not in FINAL:
        # Reason: Stripe never revives an ended subscription, so this is a stale read; unless its
        # creation came to Stripe after we had answered that it is canceled.
        effects = (Effect.CANCEL_AT_STRIPE,) if is_ended_by_us else ()
        return Decision(next_status=status, effects=effects)
    if seen in FINAL:
        return Decision(next_status=seen, effects=(Effect.CLEAR_GRACE,))
    if seen in _OWING:
        starts = () if status in _OWING else (Effect.START_GRACE,)
        return Decision(next_status=seen, effects=starts)
    return Decision(next_status=seen, effects=(Effect.CLEAR_GRACE,) if status in _OWING else ())


def access(
    status: SubscriptionStatus,
    grace_ends_at: datetime | None,
    is_written_off: bool,
    is_owing: bool,
    now: datetime,
) -> Access:
    """Tell what a subscription entitles to; not a function of status alone.

    Args:
        status: Where the subscription stands.
        grace_ends_at: When grace ends; None while past due means it was not computed yet.
        is_written_off: The debt was given up: no access, whatever Stripe calls it.
        is_owing: Whether a finalized invoice is open. Stripe leaves a subscription past due for
            as long as its next invoice is a draft, though nothing is owed.
        now: The moment asked about.

    Returns:
        `full`, `grace` or `none`.
    """
    if is_written_off:
        return Access.NONE
    if status in _ENTITLED:
        return Access.FULL
    if status is not SubscriptionStatus.PAST_DUE:
        return Access.NONE
    has_grace = grace_ends_at is None or now < grace_ends_at
    return Access.GRACE if has_grace or not is_owing else Access.NONE
