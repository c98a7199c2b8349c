"""Tool `make_chart`: draws a chart, and stores it as a file of the run."""

import asyncio

from agents.tools.make_chart import MAKE_CHART, MakeChart
from database.agents.models import AgentRun, ToolCall
from domain.agents.artifacts import NewArtifact
from domain.agents.charts.drawing import draw_chart
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.artifacts.storage import store_artifacts
from services.agents.tools.catalog import Effect, Tool, ToolResources


async def make_chart(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Draw a chart, and store it once.

    Raises:
        InvalidInputError: The run has stored as many files as it may.
    """
    wanted = MakeChart.model_validate(call.arguments_data)
    # Reason: the largest chart takes a tenth of a second, too long for the event loop.
    drawn = await asyncio.to_thread(draw_chart, wanted.chart)
    file = NewArtifact(wanted.name, drawn.encode())
    async with resources.sessions.begin() as session:
        (facts,) = await store_artifacts(session, run, call.call_id, [file])
    return Effect(ToolCallStatus.DONE, {"artifact": facts})


MAKE_CHART_TOOL = Tool(MAKE_CHART, make_chart)
