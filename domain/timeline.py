"""Tells what happened to one customer, in sentences for operators."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from domain.payments.money import amount_text
from domain.payments.rules import PaymentStatus

Data = Mapping[str, Any]


class TimelineKind(StrEnum):
    """Kinds of timeline entries that are no events of a subscription."""

    USER_CREATED = "user_created"
    PAYMENT_METHOD_ADDED = "payment_method_added"
    PAYMENT_METHOD_REMOVED = "payment_method_removed"
    PAYMENT = "payment"
    REFUND = "refund"
    PAYMENT_ATTEMPT = "payment_attempt"
    AGENT_RUN_CREATED = "agent_run_created"
    AGENT_RUN_ENDED = "agent_run_ended"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"


def summarize(kind: TimelineKind, data: Data) -> str:
    """Return the sentence of a timeline entry.

    Args:
        kind: Kind of the entry.
        data: Columns of the entry's row, by their names.
    """
    return _SENTENCES[kind](data)


def _card(data: Data) -> str:
    return f"{data['brand']} card ending in {data['last4']}"


def _payment(data: Data) -> str:
    amount = amount_text(data["amount_cents"], data["currency_code"])
    match PaymentStatus(data["payment_status"]):
        case PaymentStatus.PENDING | PaymentStatus.REQUIRES_ACTION:
            return f"A payment of {amount} was begun, and is not done yet."
        case PaymentStatus.FAILED:
            why = f" ({data['decline_code']})" if data["decline_code"] else ""
            return f"A payment of {amount} failed{why}."
        case PaymentStatus.CANCELED:
            return f"A payment of {amount} was begun, and canceled later."
        case PaymentStatus.DISPUTED:
            return f"A payment of {amount} was made, and disputed later."
        case _:
            return f"A payment of {amount} was made."


def _refund(data: Data) -> str:
    amount = amount_text(data["amount_cents"], data["currency_code"])
    return f"A refund of {amount} was requested ({data['reason']}): {data['refund_status']}."


def _attempt(data: Data) -> str:
    # Reason: Stripe itself makes the first charge of an invoice, and it is stored as attempt 0.
    which = f"Attempt {data['attempt']} ({data['trigger']})" if data["attempt"] else "First charge"
    amount = data["amount_due_cents"]
    of = "" if amount is None else f" of {amount_text(amount, data['currency_code'])}"
    why = f" ({data['decline_code']})" if data["decline_code"] else ""
    return f"{which} for invoice {data['stripe_invoice_id']}{of}: {data['outcome']}{why}."


def _run_end(data: Data) -> str:
    why = f" ({data['error_code']})" if data["error_code"] else ""
    return f"The run of agent {data['agent']} ended: {data['run_status']}{why}."


_SENTENCES: Mapping[TimelineKind, Callable[[Data], str]] = {
    TimelineKind.USER_CREATED: lambda _: "The account was made.",
    TimelineKind.PAYMENT_METHOD_ADDED: lambda data: f"A {_card(data)} was added.",
    TimelineKind.PAYMENT_METHOD_REMOVED: lambda data: f"The {_card(data)} was removed.",
    TimelineKind.PAYMENT: _payment,
    TimelineKind.REFUND: _refund,
    TimelineKind.PAYMENT_ATTEMPT: _attempt,
    TimelineKind.AGENT_RUN_CREATED: lambda data: f"A run of agent {data['agent']} was started.",
    TimelineKind.AGENT_RUN_ENDED: _run_end,
    TimelineKind.APPROVAL_REQUESTED: lambda data: f"Tool {data['tool']} asked for an approval.",
    TimelineKind.APPROVAL_DECIDED: lambda data: (
        f"The approval of tool {data['tool']} was decided: {data['approval_status']}."
    ),
}
