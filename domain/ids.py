"""Makes all deterministic identifiers: workflow ids, derived UUIDs and idempotency keys."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1d2f0a-6a57-4c1e-9d0b-0c5f6a1f8f11")
ANONYMOUS = UUID(int=0)
# Events of Stripe have ids that begin otherwise.
RECONCILIATION_PREFIX = "reconciliation_"


def derived_id(*parts: object) -> UUID:
    """Return the UUID (version 5) of these parts; their order matters."""
    return uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))


def resource_id(caller_id: UUID, path: str, key: str) -> UUID:
    """Return the id of the resource that a POST with an idempotency key creates."""
    return derived_id("resource", caller_id, path, key)


def command_id(caller_id: UUID, path: str, key: str) -> UUID:
    """Return the id of the command that a POST with an idempotency key sends."""
    return derived_id("command", caller_id, path, key)


def link_command_id(approval_link_id: UUID, decision: str) -> UUID:
    """Return the id of the command that a link in a mail sends, however often its form is sent."""
    return derived_id("approval-link", approval_link_id, decision)


def subscription_workflow_id(subscription_id: UUID | str) -> str:
    """Return the workflow id of a subscription."""
    return f"subscription-{subscription_id}"


def adopted_subscription_id(account: str, stripe_subscription_id: str) -> UUID:
    """Return our id of a subscription that was not made by this product.

    Args:
        account: Stripe's id of the account.
        stripe_subscription_id: Stripe's id of the subscription.
    """
    return derived_id("adopted-subscription", account, stripe_subscription_id)


def adoption_id(stripe_subscription_id: str) -> UUID:
    """Return the id of the operation that finds the owner of a subscription at Stripe."""
    return derived_id("adoption", stripe_subscription_id)


def payment_retry_workflow_id(stripe_invoice_id: str) -> str:
    """Return the workflow id of the payment retry of an unpaid invoice."""
    return f"payment-retry-{stripe_invoice_id}"


STRIPE_IMPORT_WORKFLOW_ID = "stripe-import"


def stripe_operation_workflow_id(operation_id: UUID | str) -> str:
    """Return the workflow id of a Stripe operation."""
    return f"stripe-operation-{operation_id}"


def payment_workflow_id(payment_id: UUID | str) -> str:
    """Return the workflow id of a payment and its refunds."""
    return f"payment-{payment_id}"


def agent_run_workflow_id(agent_run_id: UUID | str) -> str:
    """Return the workflow id of an agent run."""
    return f"agent-run-{agent_run_id}"


def ingest_workflow_id(document_id: UUID | str) -> str:
    """Return the workflow id of the ingestion of a document."""
    return f"ingest-document-{document_id}"


def webhook_endpoint_workflow_id(webhook_endpoint_id: UUID | str) -> str:
    """Return the workflow id of an endpoint that webhooks are sent to."""
    return f"webhook-endpoint-{webhook_endpoint_id}"


def reconciliation_workflow_id(reconciliation_id: UUID | str) -> str:
    """Return the workflow id of a reconciliation that an administrator asked for."""
    return f"reconciliation-{reconciliation_id}"


def reconciliation_id(workflow_id: str) -> UUID:
    """Return the id of a reconciliation that a schedule started under this workflow id."""
    return derived_id("reconciliation", workflow_id)


def reconciliation_hint(reconciliation_id: UUID | str) -> str:
    """Return the id of the hint that a reconciliation sends to a subscription."""
    return f"{RECONCILIATION_PREFIX}{reconciliation_id}"


def release_retry_id(workflow_id: str, release: str) -> UUID:
    """Return the id of the command by which a new release retries a parked step once."""
    return derived_id("release-retry", workflow_id, release)


def call_id(agent_run_id: UUID, step: int, position: int) -> UUID:
    """Return our id of a tool call; the ids that models give may repeat."""
    return derived_id("tool-call", agent_run_id, step, position)


def child_run_id(call_id: UUID) -> UUID:
    """Return the id of the run that answers a call of `delegate`."""
    return derived_id("child-run", call_id)


def artifact_id(call_id: UUID, name: str) -> UUID:
    """Return the id of the file that a tool call makes under a name."""
    return derived_id("artifact", call_id, name)


def refund_id(business_key: str, call_id: UUID) -> UUID:
    """Return the id of the refund that a tool call makes under a business key."""
    return derived_id("refund", business_key, call_id)


def handmade_refund_id(stripe_refund_id: str) -> UUID:
    """Return the primary key of a refund that was made at Stripe by hand."""
    return derived_id("handmade-refund", stripe_refund_id)


def payment_retry_id(stripe_invoice_id: str) -> UUID:
    """Return the primary key of the payment retry of an unpaid invoice."""
    return derived_id("payment-retry", stripe_invoice_id)


def invoice_id(stripe_invoice_id: str) -> UUID:
    """Return the primary key of an invoice's row."""
    return derived_id("invoice", stripe_invoice_id)


def payment_id(stripe_payment_intent_id: str) -> UUID:
    """Return the primary key of the payment that belongs to a payment intent."""
    return derived_id("payment", stripe_payment_intent_id)


def charge_key(stripe_invoice_id: str, attempt: int) -> str:
    """Return Stripe's idempotency key of a charge; it is the same on every activity retry."""
    return f"{payment_retry_workflow_id(stripe_invoice_id)}:charge:{attempt}"


def command_key(workflow_id: str, purpose: str, command: UUID | str) -> str:
    """Return Stripe's idempotency key of the POST that a command makes.

    Without the command's id in the key, Stripe would replay its answer to an earlier command.
    """
    return f"{workflow_id}:{purpose}:{command}"


def unused_refund_id(command_id: UUID, payment_id: UUID) -> UUID:
    """Return the id of the refund that a cancel of unused time makes of a payment."""
    return derived_id("unused-refund", command_id, payment_id)


def late_refund_id(payment_id: UUID) -> UUID:
    """Return the id of the refund of a payment that was made after a cancel."""
    return derived_id("late-refund", payment_id)


def message_key(command_id: UUID) -> str:
    """Return the unique key under which the message of a command is stored."""
    return f"message:{command_id}"
