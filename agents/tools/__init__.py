"""All tools that a spec may name."""

from agents.tools.refund_payment import REFUND_PAYMENT
from agents.tools.search_memory import SEARCH_MEMORY
from agents.tools.spec import ToolSpec

TOOLS: dict[str, ToolSpec] = {tool.name: tool for tool in (SEARCH_MEMORY, REFUND_PAYMENT)}
