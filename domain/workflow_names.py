"""Names by which workflows, their signals, updates and task queues are called from outside.

They stand here because their callers must not import the workflows.
"""

# Task queues: what must not wait for something slow has its own.
BILLING = "billing"
STRIPE = "stripe"
AGENTS = "agents"
MODELS = "models"
TOOLS = "tools"

PAYMENT_WORKFLOW = "PaymentWorkflow"
REFUND_UPDATE = "refund"
CANCEL_UPDATE = "cancel"
RETRY_PARKED_UPDATE = "retry_parked"
PAYMENT_HINT = "payment_hint"

# The signal by which a payment retry reports to its subscription.
REPORT = "report"
# The signal that tells a run that the one before it in the conversation is over.
RUN_NEXT = "run_next"

# After so many events of a history a workflow of billing continues as new.
CONTINUE_AS_NEW_AFTER = 1_500
