"""Tool `search_memory`: searches the memories of the run's owner."""

from agents.tools.search_memory import SEARCH_MEMORY, SearchMemory
from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.knowledge.look_ups import CHROMA, EMBEDDINGS, LookUps
from services.agents.tools.catalog import Effect, Tool, ToolResources


async def search_memory(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Search the memories of the run's owner only.

    Raises:
        UnavailableError: Chroma or the embedding model does not answer.
    """
    library, look_ups = resources.library, LookUps(resources.sessions)
    arguments = SearchMemory.model_validate(call.arguments_data)
    embedding = library.vector_of(arguments.query)
    vector = await look_ups.wait(run.agent_run_id, call.tool, EMBEDDINGS, embedding)
    searching = library.memories_near(run.user_id, vector, arguments.limit)
    found = await look_ups.wait(run.agent_run_id, call.tool, CHROMA, searching)
    texts = [memory.text for memory in found]
    return Effect(ToolCallStatus.DONE, {"memories": texts})


SEARCH_MEMORY_TOOL = Tool(SEARCH_MEMORY, search_memory)
