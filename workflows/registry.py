"""The workflows that run, and the modules that their sandbox lets through."""

from workflows.agents.agent_run import AgentRunWorkflow
from workflows.knowledge.ingest_document import IngestDocumentWorkflow
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
from workflows.payments.payment import PaymentWorkflow
from workflows.stripe_operation import StripeOperationWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

# A workflow that is not here does not run, and its histories are not replayed.
WORKFLOWS: tuple[type, ...] = (
    SubscriptionWorkflow,
    PaymentRetryWorkflow,
    PaymentWorkflow,
    StripeOperationWorkflow,
    AgentRunWorkflow,
    IngestDocumentWorkflow,
)
