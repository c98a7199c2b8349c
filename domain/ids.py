"""Every identifier that must come out the same twice is made here, and nowhere else."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1d2f0a-6a57-4c1e-9d0b-0c5f6a1f8f11")
ANONYMOUS = UUID(int=0)


def derived_id(*parts: object) -> UUID:
    """Return the one UUID that belongs to these parts, in this order."""
    return uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))


def resource_id(caller_id: UUID, path: str, key: str) -> UUID:
    """Return the id of what a POST with an idempotency key creates."""
    return derived_id("resource", caller_id, path, key)


def command_id(caller_id: UUID, path: str, key: str) -> UUID:
    """Return the id of the command that a POST with an idempotency key sends."""
    return derived_id("command", caller_id, path, key)


def subscription_workflow_id(subscription_id: UUID | str) -> str:
    """Return the id of a subscription's mailbox."""
    return f"subscription-{subscription_id}"


def payment_retry_workflow_id(stripe_invoice_id: str) -> str:
    """Return the id of an unpaid invoice's payment retry."""
    return f"payment-retry-{stripe_invoice_id}"


def stripe_operation_workflow_id(operation_id: UUID | str) -> str:
    """Return the id of one of Stripe's small jobs."""
    return f"stripe-operation-{operation_id}"


def payment_workflow_id(payment_id: UUID | str) -> str:
    """Return the id of what pays, and pays back, one payment."""
    return f"payment-{payment_id}"


def agent_run_workflow_id(agent_run_id: UUID | str) -> str:
    """Return the id of an agent's run."""
    return f"agent-run-{agent_run_id}"


def ingest_workflow_id(document_id: UUID | str) -> str:
    """Return the id of a document's ingestion."""
    return f"ingest-document-{document_id}"


def release_retry_id(workflow_id: str, release: str) -> UUID:
    """Return the id of the command by which a new release takes a parked step again, once."""
    return derived_id("release-retry", workflow_id, release)


def call_id(agent_run_id: UUID, step: int, position: int) -> UUID:
    """Return our id of a tool call; models repeat theirs."""
    return derived_id("tool-call", agent_run_id, step, position)


def refund_id(business_key: str, call_id: UUID) -> UUID:
    """Return the id of the one refund that a tool call made under a business key."""
    return derived_id("refund", business_key, call_id)


def handmade_refund_id(stripe_refund_id: str) -> UUID:
    """Return the primary key of a refund that was made at Stripe, not by us."""
    return derived_id("handmade-refund", stripe_refund_id)


def payment_retry_id(stripe_invoice_id: str) -> UUID:
    """Return the primary key of an unpaid invoice's payment retry."""
    return derived_id("payment-retry", stripe_invoice_id)


def invoice_id(stripe_invoice_id: str) -> UUID:
    """Return the primary key of an invoice's row."""
    return derived_id("invoice", stripe_invoice_id)


def payment_id(stripe_payment_intent_id: str) -> UUID:
    """Return the primary key of the payment that a payment intent made."""
    return derived_id("payment", stripe_payment_intent_id)


def charge_key(stripe_invoice_id: str, attempt: int) -> str:
    """Return Stripe's idempotency key of one charge: same on every activity retry of it."""
    return f"{payment_retry_workflow_id(stripe_invoice_id)}:charge:{attempt}"


def command_key(workflow_id: str, purpose: str, command: UUID | str) -> str:
    """Return Stripe's idempotency key of a command's POST.

    A stable key without the command's id would replay an older answer of the same purpose.
    """
    return f"{workflow_id}:{purpose}:{command}"


def late_refund_id(payment_id: UUID) -> UUID:
    """Return the id of the one refund of what was paid too late."""
    return derived_id("late-refund", payment_id)


def message_key(command_id: UUID) -> str:
    """Return what makes the message of a command one row."""
    return f"message:{command_id}"
