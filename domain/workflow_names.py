"""Names of workflows, signals, updates and task queues for callers outside the workflows.

They are defined here because their callers must not import the workflows.
"""

# Task queues: fast work has its own queues, so that it does not wait for slow work.
BILLING = "billing"
STRIPE = "stripe"
AGENTS = "agents"
MODELS = "models"
TOOLS = "tools"
QUEUES = (BILLING, STRIPE, AGENTS, MODELS, TOOLS)
# The other queues have activities only, so that slow activities delay no workflow.
WORKFLOW_QUEUES = frozenset({BILLING, AGENTS})

SUBSCRIPTION_WORKFLOW = "SubscriptionWorkflow"
HINT = "hint"
SUBSCRIPTION_COMMAND = "command"
# The signal of a payment retry, and the import of an account with its query.
RETRY_COMMAND = "command"
STRIPE_IMPORT_WORKFLOW = "StripeImportWorkflow"
IMPORT_PROGRESS = "progress"
PAYMENT_WORKFLOW = "PaymentWorkflow"
REFUND_UPDATE = "refund"
CANCEL_UPDATE = "cancel"
RETRY_PARKED_UPDATE = "retry_parked"
PAYMENT_HINT = "payment_hint"

WEBHOOK_ENDPOINT_WORKFLOW = "WebhookEndpointWorkflow"
# The signal that tells the workflow of an endpoint that it has deliveries.
WAKE = "wake"

# The signal by which a payment retry reports to its subscription.
REPORT = "report"
AGENT_RUN_WORKFLOW = "AgentRunWorkflow"
# The signal that tells a run that the previous run of its conversation has ended.
RUN_NEXT = "run_next"

# Search attributes of the owner and the subscription of a workflow.
USER_ID_ATTRIBUTE = "UserId"
SUBSCRIPTION_ID_ATTRIBUTE = "SubscriptionId"

# Number of history events after which a billing workflow continues as new.
CONTINUE_AS_NEW_AFTER = 1_500
