"""Routes for agents and prompts, which are files in the repository; a run pins its version."""

from agents.registry import all_agents, prompt_text, prompt_versions
from agents.spec import AgentSpec
from api.deps import CallerDep, ToolsDep
from api.http.routing import ApiRouter
from api.schemas.agents import AgentOut, PromptOut, ToolOut
from api.schemas.common import Listing
from services.agents.tools.catalog import ToolCatalog

router = ApiRouter(tags=["agents"])


@router.get("/agents")
async def list_agents(_: CallerDep, tools: ToolsDep) -> Listing[AgentOut]:
    """List the agents."""
    return Listing[AgentOut](items=[_agent(spec, tools) for spec in all_agents().values()])


@router.get("/prompts")
async def list_prompts(_: CallerDep) -> Listing[PromptOut]:
    """List all versions of each agent's prompt, oldest first."""
    prompts = [
        PromptOut(
            agent=spec.name,
            prompt_version=version,
            is_current=version == spec.prompt_version,
            text=prompt_text(spec.name, version),
        )
        for spec in all_agents().values()
        for version in prompt_versions(spec.name)
    ]
    return Listing[PromptOut](items=prompts)


def _agent(spec: AgentSpec, tools: ToolCatalog) -> AgentOut:
    return AgentOut(
        agent=spec.name,
        description=spec.description,
        pattern=spec.pattern,
        prompt_version=spec.prompt_version,
        tools=[ToolOut.model_validate(tool.spec) for tool in tools.select(spec.tool_names)],
        max_step_count=spec.max_step_count,
    )
