"""What happened, in a sentence that a customer can read."""

from datetime import datetime

from domain.parked_steps import ParkedStep
from domain.payment_retries.lifecycle import ChargeResult
from domain.payment_retries.messages import ChargeOutcome, LastResortRequest, RetryReport
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus
from domain.subscriptions.messages import NewSubscriptionEvent, SubscriptionCommand

_COMMANDS = {
    CommandKind.CANCEL_NOW: "Canceled at once, as asked.",
    CommandKind.CHANGE_PAYMENT_METHOD: "The payment method was changed.",
    CommandKind.RETRY_PARKED: "Parked steps were tried again, as asked.",
}


def command_event(command: SubscriptionCommand) -> NewSubscriptionEvent:
    """Tell that a command was carried out."""
    return NewSubscriptionEvent(
        source_key=f"command:{command.command_id}",
        kind=command.kind,
        summary=_COMMANDS[command.kind],
    )


def grace_end_event(ended_at: datetime) -> NewSubscriptionEvent:
    """Tell that access ended because grace did."""
    return NewSubscriptionEvent(
        source_key=f"grace:{ended_at.isoformat()}",
        kind="grace_ended",
        summary="The grace period has ended, and access with it.",
        data={"ended_at": ended_at.isoformat()},
    )


def hint_event(stripe_event_id: str, event_type: str) -> NewSubscriptionEvent:
    """Tell that Stripe told us something."""
    return NewSubscriptionEvent(
        source_key=stripe_event_id,
        kind=event_type,
        summary=f"Stripe reported {event_type}.",
        data={"stripe_event_id": stripe_event_id},
    )


def parked_event(parked: ParkedStep, at: datetime) -> NewSubscriptionEvent:
    """Tell that a step could not be taken and waits for a person."""
    return NewSubscriptionEvent(
        source_key=f"parked:{parked.step}:{at.isoformat()}",
        kind="parked",
        summary=f"A step could not be taken and is tried again later: {parked.step}.",
        data={"step": parked.step, "code": parked.code, "message": parked.message},
    )


def status_event(
    before: SubscriptionStatus,
    after: SubscriptionStatus,
    seq: int,
    reason: str,
) -> NewSubscriptionEvent:
    """Tell that the status changed.

    Args:
        before: The status until now.
        after: The status from now on.
        seq: Number of the last event before this one; makes the change unlike any other.
        reason: What made us see it.
    """
    return NewSubscriptionEvent(
        source_key=f"status:{seq}:{after}",
        kind="status_changed",
        summary=f"The subscription is {after}; it was {before}.",
        data={"from": before, "to": after, "reason": reason},
    )


def report_events(report: RetryReport) -> tuple[NewSubscriptionEvent, ...]:
    """Tell what a payment retry charged, if it charged anything."""
    outcome = report.outcome
    if outcome is None or outcome.result not in {ChargeResult.SUCCEEDED, ChargeResult.FAILED}:
        return ()
    about = {
        "stripe_invoice_id": report.stripe_invoice_id,
        "retry_status": report.retry_status,
        "attempt": str(report.attempt),
    }
    return (_charge_event(outcome, f"retry:{report.stripe_invoice_id}:{report.attempt}", about),)


def last_resort_event(wanted: LastResortRequest, *, is_invoice_only: bool) -> NewSubscriptionEvent:
    """Tell that all retries have failed, and what was done then.

    Args:
        wanted: What the policy says.
        is_invoice_only: The subscription was paid up, so only the invoice was given up.
    """
    summary = f"All retries have failed: {wanted.last_resort}, as the policy says."
    if is_invoice_only:
        summary = "All retries of an older invoice have failed, and it was given up."
    return NewSubscriptionEvent(
        source_key=f"retry:{wanted.stripe_invoice_id}:last_resort",
        kind="last_resort",
        summary=summary,
        data={"stripe_invoice_id": wanted.stripe_invoice_id},
    )


def _charge_event(outcome: ChargeOutcome, key: str, about: dict[str, str]) -> NewSubscriptionEvent:
    if outcome.result is ChargeResult.SUCCEEDED:
        summary = "A retry was paid."
        return NewSubscriptionEvent(source_key=key, kind="retry_paid", summary=summary, data=about)
    decline_code = outcome.decline_code or "unknown reason"
    return NewSubscriptionEvent(
        source_key=key,
        kind="retry_failed",
        summary=f"A retry failed: {decline_code}.",
        data={**about, "decline_code": decline_code},
    )
