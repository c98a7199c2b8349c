"""Imports all tables, so that they are registered in `Base.metadata`."""

from database.accounts import models as accounts
from database.agents import models as agents
from database.base import Base
from database.knowledge import models as knowledge
from database.llm import models as llm
from database.notifications import models as notifications
from database.payment_retries import models as payment_retries
from database.payments import models as payments
from database.plans import models as plans
from database.reconciliation import models as reconciliation
from database.subscriptions import models as subscriptions
from database.usage import models as usage
from database.webhooks import models as webhooks

METADATA = Base.metadata
AREAS = (
    accounts,
    agents,
    knowledge,
    llm,
    notifications,
    payment_retries,
    payments,
    plans,
    reconciliation,
    subscriptions,
    usage,
    webhooks,
)
