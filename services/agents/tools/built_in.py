"""The tools that come with the product."""

from services.agents.tools.catalog import Tool
from services.agents.tools.refund_payment import REFUND_PAYMENT_TOOL
from services.agents.tools.search_memory import SEARCH_MEMORY_TOOL

BUILT_IN_TOOLS: tuple[Tool, ...] = (SEARCH_MEMORY_TOOL, REFUND_PAYMENT_TOOL)
