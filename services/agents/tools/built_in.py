"""The tools that come with the product."""

from services.agents.teams.tools import DELEGATE_TOOL, HAND_OVER_TOOL
from services.agents.tools.ask_user import ASK_USER_TOOL
from services.agents.tools.billing.cancel_subscription import CANCEL_SUBSCRIPTION_TOOL
from services.agents.tools.billing.change_plan import CHANGE_PLAN_TOOL
from services.agents.tools.billing.read_billing import READ_BILLING_TOOL
from services.agents.tools.billing.refund_payment import REFUND_PAYMENT_TOOL
from services.agents.tools.catalog import Tool
from services.agents.tools.fetch_page import FETCH_PAGE_TOOL
from services.agents.tools.make_chart import MAKE_CHART_TOOL
from services.agents.tools.read_artifact import READ_ARTIFACT_TOOL
from services.agents.tools.run_python import RUN_PYTHON_TOOL
from services.agents.tools.search_memory import SEARCH_MEMORY_TOOL

BUILT_IN_TOOLS: tuple[Tool, ...] = (
    ASK_USER_TOOL,
    CANCEL_SUBSCRIPTION_TOOL,
    CHANGE_PLAN_TOOL,
    DELEGATE_TOOL,
    FETCH_PAGE_TOOL,
    HAND_OVER_TOOL,
    MAKE_CHART_TOOL,
    READ_ARTIFACT_TOOL,
    READ_BILLING_TOOL,
    REFUND_PAYMENT_TOOL,
    RUN_PYTHON_TOOL,
    SEARCH_MEMORY_TOOL,
)
