"""What tests of runs share: the model's controls, and a run without the API."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client, WorkflowHandle

from config import Settings
from database.agent_models import AgentRun
from database.agent_runs import AgentRunRepository
from database.session import Sessions
from domain.agent_runs import Route, RunRequest, RunStart, RunStatus
from domain.ids import agent_run_workflow_id
from workflows.agent_run import AgentRunWorkflow
from workflows.queues import AGENTS


@dataclass
class Model:
    """The stand-in's controls."""

    http: httpx.AsyncClient

    async def script(self, *items: dict[str, Any], match: str) -> None:
        """Queue replies for the calls whose request contains a text."""
        body = {"items": [{**item, "match": match} for item in items]}
        reply = await self.http.post("/_sandbox/script", json=body)
        assert reply.is_success, reply.text

    async def calls(self, match: str) -> list[dict[str, Any]]:
        """Return the calls whose request contains a text."""
        listed = (await self.http.get("/_sandbox/requests")).json()["items"]
        return [call for call in listed if match in str(call["body"])]


def open_model(settings: Settings) -> httpx.AsyncClient:
    base_url = (settings.llm.base_url or "").removesuffix("/v1")
    return httpx.AsyncClient(base_url=base_url)


async def start_run(
    client: Client,
    user_id: UUID,
    text: str,
    **more: Any,
) -> WorkflowHandle[AgentRunWorkflow, RunStatus]:
    """Start a run as the API does."""
    request = RunRequest(
        agent_run_id=uuid4(),
        user_id=user_id,
        agent="research",
        prompt_version="v1",
        input=text,
        conversation_id=uuid4(),
    )
    return await client.start_workflow(
        AgentRunWorkflow.run,
        RunStart(request=request, route=Route(has_retrieval=False), **more),
        id=agent_run_workflow_id(request.agent_run_id),
        task_queue=AGENTS,
    )


async def row_of(sessions: Sessions, handle: WorkflowHandle[Any, Any]) -> AgentRun | None:
    agent_run_id = UUID(handle.id.removeprefix("agent-run-"))
    async with sessions() as session:
        return await AgentRunRepository(session).get(agent_run_id, None)
