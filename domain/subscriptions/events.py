"""Makes subscription events, each with a sentence for the customer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.ids import RECONCILIATION_PREFIX
from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import ChargeResult
from domain.payment_retries.messages import ChargeOutcome, LastResortRequest, RetryReport
from domain.payments.money import amount_text
from domain.subscriptions.lifecycle import COMMANDS, SubscriptionStatus
from domain.subscriptions.messages import (
    CancelRefund,
    NewSubscriptionEvent,
    SubscriptionCommand,
)

STATUS_CHANGED = "status_changed"

TRIAL_ANNOUNCED = "trial_will_end"
DISCOUNT_REFUSED = "discount_refused"


def command_event(command: SubscriptionCommand) -> NewSubscriptionEvent:
    """Return the event of a command that was carried out."""
    return NewSubscriptionEvent(
        source_key=f"command:{command.command_id}",
        kind=command.kind,
        summary=COMMANDS[command.kind].summary,
        data=_asked(command),
    )


def terms_event(
    before: Mapping[str, Any], after: Mapping[str, Any], seq: int
) -> NewSubscriptionEvent:
    """Return the event of another plan, price or quantity, whoever changed it.

    Args:
        before: The terms until now, by name.
        after: The terms from now on.
        seq: Number of the last event, which makes this one unique.
    """
    names = [name for name in after if before[name] != after[name]]
    return NewSubscriptionEvent(
        source_key=f"terms:{seq}",
        kind="terms_changed",
        summary="Plan, price or quantity have changed.",
        data={
            "from": {name: before[name] for name in names},
            "to": {name: after[name] for name in names},
        },
    )


def grace_end_event(ended_at: datetime) -> NewSubscriptionEvent:
    """Return the event of the end of grace, with which access ends."""
    return NewSubscriptionEvent(
        source_key=f"grace:{ended_at.isoformat()}",
        kind="grace_ended",
        summary="The grace period has ended, and access with it.",
        data={"ended_at": ended_at.isoformat()},
    )


def adoption_event(stripe_subscription_id: str) -> NewSubscriptionEvent:
    """Return the event of a subscription that was made at Stripe and is followed from now on."""
    return NewSubscriptionEvent(
        source_key="adopted",
        kind="adopted",
        summary="The subscription was made at Stripe, and is followed from now on.",
        data={"stripe_subscription_id": stripe_subscription_id},
    )


def discount_refused_event(reason: str) -> NewSubscriptionEvent:
    """Return the event of a start that ended because Stripe refused its discount."""
    return NewSubscriptionEvent(
        source_key=DISCOUNT_REFUSED,
        kind=DISCOUNT_REFUSED,
        summary="Stripe refused the discount, so the subscription did not begin.",
        data={"message": reason},
    )


def resume_failed_event(cause: str, decline_code: str) -> NewSubscriptionEvent:
    """Return the event of a pause that was to end by itself, and whose charge failed."""
    return NewSubscriptionEvent(
        source_key=f"resume:{cause}",
        kind="resume_failed",
        summary=f"The subscription could not be resumed, and stays paused: {decline_code}.",
        data={"decline_code": decline_code},
    )


def trial_end_event(trial_end: datetime) -> NewSubscriptionEvent:
    """Return the event that announces the end of a trial; there is one for each end."""
    return NewSubscriptionEvent(
        source_key=f"trial_will_end:{trial_end.isoformat()}",
        kind=TRIAL_ANNOUNCED,
        summary=f"The trial ends at {trial_end:%Y-%m-%d %H:%M} UTC.",
        data={"trial_end": trial_end.isoformat()},
    )


def unused_refund_event(cause: UUID, amount_cents: int, currency_code: str) -> NewSubscriptionEvent:
    """Return the event of the refund of unused time."""
    return NewSubscriptionEvent(
        source_key=f"refund:{cause}",
        kind="unused_time_refunded",
        summary=f"Unused time was refunded: {amount_text(amount_cents, currency_code)}.",
        data={"amount_cents": amount_cents, "currency_code": currency_code},
    )


def hint_event(stripe_event_id: str, event_type: str) -> NewSubscriptionEvent:
    """Return the event of a webhook from Stripe, or of a hint from a reconciliation."""
    if stripe_event_id.startswith(RECONCILIATION_PREFIX):
        return NewSubscriptionEvent(
            source_key=stripe_event_id,
            kind="reconciled",
            summary="Our view differed from Stripe, and was read anew.",
            data={"reconciliation_id": stripe_event_id.removeprefix(RECONCILIATION_PREFIX)},
        )
    return NewSubscriptionEvent(
        source_key=stripe_event_id,
        kind=event_type,
        summary=f"Stripe reported {event_type}.",
        data={"stripe_event_id": stripe_event_id},
    )


def parked_event(parked: ParkedStep, at: datetime) -> NewSubscriptionEvent:
    """Return the event of a step that failed and was parked."""
    return NewSubscriptionEvent(
        source_key=f"parked:{parked.step}:{at.isoformat()}",
        kind="parked",
        summary=f"A step failed and will be tried again later: {parked.step}.",
        data={"step": parked.step, "code": parked.code, "message": parked.message},
    )


def status_event(
    before: SubscriptionStatus,
    after: SubscriptionStatus,
    seq: int,
    reason: str,
) -> NewSubscriptionEvent:
    """Return the event of a change of the status.

    Args:
        before: Old status.
        after: New status.
        seq: Number of the last event before this one; makes the source key unique.
        reason: What made us read the new status.
    """
    return NewSubscriptionEvent(
        source_key=f"status:{seq}:{after}",
        kind=STATUS_CHANGED,
        summary=f"The subscription changed from {before} to {after}.",
        data={"from": before, "to": after, "reason": reason},
    )


def report_events(report: RetryReport) -> tuple[NewSubscriptionEvent, ...]:
    """Return the event of a payment retry's charge; empty if nothing was charged."""
    outcome = report.outcome
    if outcome is None or outcome.result not in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
        return ()
    about = {
        "stripe_invoice_id": report.stripe_invoice_id,
        "retry_status": report.retry_status,
        "attempt": str(report.attempt),
    }
    return (_charge_event(outcome, f"retry:{report.stripe_invoice_id}:{report.attempt}", about),)


def last_resort_event(request: LastResortRequest, *, is_invoice_only: bool) -> NewSubscriptionEvent:
    """Return the event of a last resort, taken after all retries have failed.

    Args:
        request: Last resort of the policy, and its invoice.
        is_invoice_only: Whether only the invoice was given up, because the subscription is paid up.
    """
    summary = f"All payment retries have failed; last resort of the policy: {request.last_resort}."
    if is_invoice_only:
        summary = "All payment retries of an older invoice have failed; the invoice was given up."
    return NewSubscriptionEvent(
        source_key=f"retry:{request.stripe_invoice_id}:last_resort",
        kind="last_resort",
        summary=summary,
        data={"stripe_invoice_id": request.stripe_invoice_id},
    )


def _charge_event(outcome: ChargeOutcome, key: str, about: dict[str, str]) -> NewSubscriptionEvent:
    if outcome.result is ChargeResult.SUCCEEDED:
        summary = "A payment retry was successful."
        return NewSubscriptionEvent(source_key=key, kind="retry_paid", summary=summary, data=about)
    decline_code = outcome.decline_code or "unknown reason"
    return NewSubscriptionEvent(
        source_key=key,
        kind="retry_failed",
        summary=f"A payment retry failed: {decline_code}.",
        data={**about, "decline_code": decline_code},
    )


def _asked(command: SubscriptionCommand) -> dict[str, Any]:
    """Return what a command asks for, beside its kind."""
    asked = command.model_dump(mode="json", exclude={"command_id", "kind", "terms"})
    terms = {} if command.terms is None else command.terms.model_dump(mode="json")
    given = asked | {name: terms.get(name) for name in ("plan_id", "quantity")}
    if command.refund is CancelRefund.NONE:
        del given["refund"]
    return {name: value for name, value in given.items() if value is not None}
