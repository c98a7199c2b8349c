"""Tool `ask_user`: returns what the run's owner has answered."""

from agents.tools.ask_user import ASK_USER
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.tools.catalog import Effect, Tool, ToolResources


async def ask_user(resources: ToolResources, _: AgentRun, call: ToolCall) -> Effect:
    """Return the answer, which is the reason of the approval that the question waited for."""
    async with resources.sessions() as session:
        approval = await ToolCallRepository(session).approval(call.call_id)
    answer = approval.reason if approval else None
    return Effect(ToolCallStatus.DONE, {"answer": answer})


ASK_USER_TOOL = Tool(ASK_USER, ask_user)
