"""Lifecycle of a subscription: status transitions, commands and access.

Stripe is the source of truth about money, so most transitions follow Stripe: from a status read at
Stripe we derive the effects here. Commands are allowed, or refused with a reason.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from domain.base import Frozen


class SubscriptionStatus(StrEnum):
    """The statuses of a subscription, by Stripe's names."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


class Access(StrEnum):
    """Access of a customer to the product."""

    FULL = "full"
    GRACE = "grace"
    NONE = "none"


class CommandKind(StrEnum):
    """The commands of a subscription."""

    CANCEL_NOW = "cancel_now"
    CHANGE_PAYMENT_METHOD = "change_payment_method"
    RETRY_PARKED = "retry_parked"


class Effect(StrEnum):
    """What has to be done on our side after a status was read at Stripe."""

    START_GRACE = "start_grace"
    CLEAR_GRACE = "clear_grace"
    CANCEL_AT_STRIPE = "cancel_at_stripe"


class Decision(Frozen):
    """Decision about a command, or about a status read at Stripe.

    Args:
        next_status: Status afterwards; the current one if the command is refused.
        effects: What to do on our side, in order.
        refusal: Why the command is refused, as text; None if it is allowed.
    """

    next_status: SubscriptionStatus
    effects: tuple[Effect, ...] = ()
    refusal: str | None = None


FINAL = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
_OWING = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
_ENTITLED = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})


class CommandRule(Frozen):
    """The statuses in which a command is allowed, and what it leads to.

    Args:
        summary: Sentence for the customer about the command, once it was carried out.
        allowed: Statuses in which the command is allowed; in all others it is refused.
        next_status: Status after the command; None if the status stays the same.
    """

    summary: str
    allowed: frozenset[SubscriptionStatus]
    next_status: SubscriptionStatus | None = None


_LIVE = frozenset(SubscriptionStatus) - FINAL
# Rules of all commands, used by the workflow and by the API.
COMMANDS: Mapping[CommandKind, CommandRule] = {
    CommandKind.CANCEL_NOW: CommandRule(
        summary="The subscription was canceled at once, as requested.",
        allowed=_LIVE,
        next_status=SubscriptionStatus.CANCELED,
    ),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandRule(
        summary="The payment method was changed.",
        allowed=_LIVE,
    ),
    CommandKind.RETRY_PARKED: CommandRule(
        summary="The failed steps were tried again, as requested.",
        allowed=frozenset(SubscriptionStatus),
    ),
}


def decide(status: SubscriptionStatus, command: CommandKind) -> Decision:
    """Decide whether a command is allowed.

    Args:
        status: Current status of the subscription.
        command: Command to decide about.

    Returns:
        The status after the command, or a refusal.
    """
    rule = COMMANDS[command]
    if status not in rule.allowed:
        return Decision(next_status=status, refusal=f"the subscription is {status}")
    return Decision(next_status=rule.next_status or status)


def follow(
    status: SubscriptionStatus,
    stripe_status: SubscriptionStatus,
    is_ended_by_us: bool = False,
) -> Decision:
    """Derive the new status and its effects from the status at Stripe.

    Args:
        status: Status stored so far.
        stripe_status: Status read at Stripe.
        is_ended_by_us: Whether a command or a last resort ended the subscription, not Stripe.

    Returns:
        The new status, and its effects on our side.
    """
    if status in FINAL and stripe_status not in FINAL:
        # Reason: Stripe never revives an ended subscription, so this is a stale read; unless
        # Stripe created the subscription after we had answered that it is canceled.
        effects = (Effect.CANCEL_AT_STRIPE,) if is_ended_by_us else ()
        return Decision(next_status=status, effects=effects)
    if stripe_status in FINAL:
        return Decision(next_status=stripe_status, effects=(Effect.CLEAR_GRACE,))
    if stripe_status in _OWING:
        starts = () if status in _OWING else (Effect.START_GRACE,)
        return Decision(next_status=stripe_status, effects=starts)
    return Decision(
        next_status=stripe_status, effects=(Effect.CLEAR_GRACE,) if status in _OWING else ()
    )


def access(
    status: SubscriptionStatus,
    grace_ends_at: datetime | None,
    is_written_off: bool,
    is_owing: bool,
    now: datetime,
) -> Access:
    """Return the access that a subscription gives, which depends on more than its status.

    Args:
        status: Status of the subscription.
        grace_ends_at: When grace ends; None while past due means it was not computed yet.
        is_written_off: Whether the debt was written off; then there is no access in any status.
        is_owing: Whether a finalized invoice is open. Stripe keeps a subscription past due while
            its next invoice is a draft, although nothing is owed.
        now: Time for which the access is computed.

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
