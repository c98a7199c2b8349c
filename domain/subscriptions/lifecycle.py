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
    CANCEL_AT_PERIOD_END = "cancel_at_period_end"
    UNCANCEL = "uncancel"
    PAUSE = "pause"
    RESUME = "resume"
    CHANGE_PLAN = "change_plan"
    SCHEDULE_CHANGE = "schedule_change"
    CANCEL_SCHEDULED_CHANGE = "cancel_scheduled_change"
    APPLY_DISCOUNT = "apply_discount"
    REMOVE_DISCOUNT = "remove_discount"
    CHANGE_PAYMENT_METHOD = "change_payment_method"
    CONFIRM = "confirm"
    EXTEND_TRIAL = "extend_trial"
    END_TRIAL = "end_trial"
    REACTIVATE = "reactivate"
    RETRY_PARKED = "retry_parked"


class Effect(StrEnum):
    """What has to be done on our side, beside the call that a command makes at Stripe."""

    # After a status was read at Stripe.
    START_GRACE = "start_grace"
    CLEAR_GRACE = "clear_grace"
    CANCEL_AT_STRIPE = "cancel_at_stripe"
    # Before the call of a command.
    STOP_PAYMENT_RETRIES = "stop_payment_retries"
    RELEASE_SCHEDULE = "release_schedule"
    # After the call of a command.
    TRY_CARD = "try_card"
    START_REPLACEMENT = "start_replacement"


class RefusalCode(StrEnum):
    """Why a command is refused; the code of the 409."""

    ILLEGAL_COMMAND = "illegal_command"
    PAYMENT_DUE = "payment_due"
    MANAGED_AT_STRIPE = "managed_at_stripe"


class Decision(Frozen):
    """Decision about a command, or about a status read at Stripe.

    Args:
        next_status: Status afterwards; the current one if the command is refused.
        effects: What to do on our side, in order.
        refusal: Why the command is refused, as text; None if it is allowed.
        refusal_code: Why the command is refused, for programs; None if it is allowed.
    """

    next_status: SubscriptionStatus
    effects: tuple[Effect, ...] = ()
    refusal: str | None = None
    refusal_code: RefusalCode | None = None


class CommandRule(Frozen):
    """The statuses in which a command is allowed, and what it leads to.

    Args:
        summary: Sentence for the customer about the command, once it was carried out.
        allowed: Statuses in which the command is allowed; in all others it is refused.
        next_status: Status after the command, if nothing goes wrong; None if the status stays.
        effects: What to do on our side, in order.
        needs: Field of the command that must be set.
        payment_due: Statuses in which the command is refused until the unpaid invoice is paid.
        is_allowed_if_managed: Whether the command is allowed while a schedule that is not ours
            manages the subscription at Stripe.
    """

    summary: str
    allowed: frozenset[SubscriptionStatus]
    next_status: SubscriptionStatus | None = None
    effects: tuple[Effect, ...] = ()
    needs: str | None = None
    payment_due: frozenset[SubscriptionStatus] = frozenset()
    is_allowed_if_managed: bool = False


FINAL = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
_OWING = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
_ENTITLED = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})
_LIVE = frozenset(SubscriptionStatus) - FINAL
_RUNNING = _ENTITLED | _OWING
_TRIALING = frozenset({SubscriptionStatus.TRIALING})
# Rules of all commands, used by the workflow, by the API and by the docs.
COMMANDS: Mapping[CommandKind, CommandRule] = {
    CommandKind.CANCEL_NOW: CommandRule(
        summary="The subscription was canceled at once, as requested.",
        allowed=_LIVE,
        next_status=SubscriptionStatus.CANCELED,
        effects=(Effect.STOP_PAYMENT_RETRIES, Effect.RELEASE_SCHEDULE),
        is_allowed_if_managed=True,
    ),
    CommandKind.CANCEL_AT_PERIOD_END: CommandRule(
        summary="The subscription will end with the current period, as requested.",
        allowed=_RUNNING,
        effects=(Effect.RELEASE_SCHEDULE,),
    ),
    CommandKind.UNCANCEL: CommandRule(
        summary="The subscription goes on after the current period, as requested.",
        allowed=_RUNNING,
    ),
    CommandKind.PAUSE: CommandRule(
        summary="The subscription was paused, as requested.",
        allowed=frozenset({SubscriptionStatus.ACTIVE}),
        next_status=SubscriptionStatus.PAUSED,
        effects=(Effect.RELEASE_SCHEDULE,),
        payment_due=_OWING,
    ),
    CommandKind.RESUME: CommandRule(
        summary="Resuming was requested; the subscription goes on with its paid invoice.",
        allowed=frozenset({SubscriptionStatus.PAUSED}),
        next_status=SubscriptionStatus.ACTIVE,
    ),
    CommandKind.CHANGE_PLAN: CommandRule(
        summary="The plan or the quantity was changed at once, as requested.",
        allowed=_ENTITLED,
        effects=(Effect.RELEASE_SCHEDULE,),
        payment_due=_OWING,
    ),
    CommandKind.SCHEDULE_CHANGE: CommandRule(
        summary="The plan or the quantity will change with the next period, as requested.",
        allowed=_ENTITLED,
        payment_due=_OWING,
    ),
    CommandKind.CANCEL_SCHEDULED_CHANGE: CommandRule(
        summary="The change that waited for the next period was canceled, as requested.",
        allowed=_RUNNING,
        effects=(Effect.RELEASE_SCHEDULE,),
    ),
    CommandKind.APPLY_DISCOUNT: CommandRule(
        summary="A discount was applied.",
        allowed=_RUNNING,
    ),
    CommandKind.REMOVE_DISCOUNT: CommandRule(
        summary="The discount was removed.",
        allowed=_RUNNING,
    ),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandRule(
        summary="The payment method was changed.",
        allowed=_LIVE,
        effects=(Effect.TRY_CARD,),
        needs="stripe_payment_method_id",
    ),
    CommandKind.CONFIRM: CommandRule(
        summary="The first payment was looked up at Stripe, as requested.",
        allowed=frozenset({SubscriptionStatus.INCOMPLETE}),
        next_status=SubscriptionStatus.ACTIVE,
        is_allowed_if_managed=True,
    ),
    CommandKind.EXTEND_TRIAL: CommandRule(
        summary="The trial was extended.",
        allowed=_TRIALING,
        needs="trial_end",
    ),
    CommandKind.END_TRIAL: CommandRule(
        summary="The trial was ended early, as requested.",
        allowed=_TRIALING,
        next_status=SubscriptionStatus.ACTIVE,
    ),
    CommandKind.REACTIVATE: CommandRule(
        summary="A new subscription replaces this one.",
        allowed=FINAL,
        effects=(Effect.START_REPLACEMENT,),
        is_allowed_if_managed=True,
    ),
    CommandKind.RETRY_PARKED: CommandRule(
        summary="The failed steps were tried again, as requested.",
        allowed=frozenset(SubscriptionStatus),
        is_allowed_if_managed=True,
    ),
}


def decide(
    status: SubscriptionStatus, command: CommandKind, *, is_managed_at_stripe: bool = False
) -> Decision:
    """Decide whether a command is allowed.

    Args:
        status: Current status of the subscription.
        command: Command to decide about.
        is_managed_at_stripe: Whether a schedule that is not ours manages the subscription.

    Returns:
        The status after the command and its effects, or a refusal.
    """
    rule = COMMANDS[command]
    if status in rule.payment_due:
        text = f"the subscription is {status}: the unpaid invoice has to be paid first"
        return _refused(status, RefusalCode.PAYMENT_DUE, text)
    if status not in rule.allowed:
        return _refused(status, RefusalCode.ILLEGAL_COMMAND, f"the subscription is {status}")
    if is_managed_at_stripe and not rule.is_allowed_if_managed:
        text = "a schedule that was made at Stripe manages the subscription; change it there"
        return _refused(status, RefusalCode.MANAGED_AT_STRIPE, text)
    return Decision(next_status=rule.next_status or status, effects=rule.effects)


def _refused(status: SubscriptionStatus, code: RefusalCode, text: str) -> Decision:
    return Decision(next_status=status, refusal=text, refusal_code=code)


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
