"""What tests of runs share: the model's controls, and a run without the API."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client, WorkflowHandle

from adapters.tls import trusted
from config import Settings
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from database.session import Sessions
from domain.agents.routes import Route
from domain.agents.runs import RUN_REVISION, RunRequest, RunStart, RunStatus
from domain.ids import agent_run_workflow_id
from domain.llm.batches import Urgency
from domain.workflow_names import AGENTS
from tests.support.histories import keep
from workflows.agents.agent_run import AgentRunWorkflow


@dataclass
class Model:
    """The stand-in's controls."""

    http: httpx.AsyncClient

    async def script(self, *items: dict[str, Any], match: str) -> None:
        """Queue replies for the calls whose request contains a text."""
        body = {"items": [{**item, "match": match} for item in items]}
        reply = await self.http.post("/_sandbox/script", json=body)
        assert reply.is_success, reply.text

    async def batches(self, match: str) -> list[dict[str, Any]]:
        """Return the batches whose request contains a text, oldest first."""
        listed = (await self.http.get("/_sandbox/batches")).json()["items"]
        return [batch for batch in listed if match in batch["input"]]

    async def calls(self, match: str) -> list[dict[str, Any]]:
        """Return the calls whose request contains a text."""
        listed = (await self.http.get("/_sandbox/requests")).json()["items"]
        return [call for call in listed if match in str(call["body"])]


def open_model(settings: Settings) -> httpx.AsyncClient:
    base_url = (settings.llm.base_url or "").removesuffix("/v1")
    return httpx.AsyncClient(base_url=base_url, verify=trusted())


async def start_run(
    client: Client,
    user_id: UUID,
    text: str,
    conversation_id: UUID | None = None,
    urgency: Urgency = Urgency.NORMAL,
    **more: Any,
) -> WorkflowHandle[AgentRunWorkflow, RunStatus]:
    """Start a run as the API does."""
    request = RunRequest(
        agent_run_id=uuid4(),
        user_id=user_id,
        agent="research",
        prompt_version="v1",
        input=text,
        conversation_id=conversation_id or uuid4(),
        urgency=urgency,
    )
    return await client.start_workflow(
        AgentRunWorkflow.run,
        RunStart(
            request=request,
            **{"route": Route(has_retrieval=False), "revision": RUN_REVISION, **more},
        ),
        id=agent_run_workflow_id(request.agent_run_id),
        task_queue=AGENTS,
    )


async def row_of(sessions: Sessions, handle: WorkflowHandle[Any, Any]) -> AgentRun | None:
    agent_run_id = UUID(handle.id.removeprefix("agent-run-"))
    async with sessions() as session:
        return await AgentRunRepository(session).get(agent_run_id, None)


async def until(read: Callable[[], Awaitable[Any]], seconds: float = 100) -> Any:
    async with asyncio.timeout(seconds):
        while not (answer := await read()):  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.05)
    return answer


async def reach(
    sessions: Sessions,
    handle: WorkflowHandle[Any, Any],
    *statuses: RunStatus,
) -> AgentRun:
    async def look() -> AgentRun | None:
        row = await row_of(sessions, handle)
        return row if row is not None and row.run_status in statuses else None

    row: AgentRun = await until(look)
    return row


def refund_call(payment_id: UUID) -> dict[str, Any]:
    arguments = {"payment_id": str(payment_id), "reason": "the train was late"}
    return {"tool_calls": [{"name": "refund_payment", "arguments": arguments}]}


async def ended(handle: WorkflowHandle[Any, Any]) -> None:
    async def is_closed() -> bool:
        return (await handle.describe()).close_time is not None

    await until(is_closed)


async def keep_ended(handle: WorkflowHandle[Any, Any], path: Path, *names: str) -> None:
    """Wait until a run has ended, then record and replay its history."""
    await ended(handle)
    await keep(handle, path, *names)
