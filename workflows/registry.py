"""The list of all workflows."""

from workflows.agents.agent_run import AgentRunWorkflow
from workflows.agents.scheduled_run import ScheduledRunWorkflow
from workflows.knowledge.ingest_document import IngestDocumentWorkflow
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
from workflows.payments.payment import PaymentWorkflow
from workflows.reconciliation.reconciliation import ReconciliationWorkflow
from workflows.stripe_operation import StripeOperationWorkflow
from workflows.subscriptions.account_import import StripeImportWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow
from workflows.webhooks import WebhookEndpointWorkflow

# Only these workflows run, and only their histories are replayed in tests.
WORKFLOWS: tuple[type, ...] = (
    SubscriptionWorkflow,
    PaymentRetryWorkflow,
    PaymentWorkflow,
    StripeOperationWorkflow,
    ReconciliationWorkflow,
    StripeImportWorkflow,
    AgentRunWorkflow,
    ScheduledRunWorkflow,
    IngestDocumentWorkflow,
    WebhookEndpointWorkflow,
)
