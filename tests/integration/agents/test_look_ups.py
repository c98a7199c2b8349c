"""Look-ups that somebody waits for: told, bounded, and never the end of a run."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.agents.retrieval import RetrievalActivities
from adapters.chroma.client import open_chroma
from adapters.embeddings import open_embedder
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.knowledge.documents import DocumentRepository
from database.session import Sessions
from domain.agents.runs import StepInput
from domain.errors import UnavailableError
from domain.knowledge.documents import DocumentStatus
from services.agents.knowledge import look_ups
from services.agents.knowledge.look_ups import PATIENCE, LookUps
from services.agents.knowledge.retrieval import Retrieval
from services.knowledge.search import KnowledgeSearch
from tests.adapters.test_web_fetcher import page, reply
from tests.support.streams import add_question, add_run, finish

WAITING = {"step": "retrieve", "waiting_for": "chroma"}


async def told(sessions: Sessions, agent_run_id: UUID) -> list[dict[str, Any]]:
    async with sessions() as session:
        found = await RunEventRepository(session).list(agent_run_id, 0, 100)
        return [event.event_data for event in found]


@pytest.fixture
async def run_id(sessions: Sessions) -> UUID:
    """A run that was begun with a question."""
    agent_run_id = await add_run(sessions)
    user_id = await add_question(sessions, agent_run_id, "Where is it? " * 200)
    async with sessions.begin() as session:
        await DocumentRepository(session).add(
            uuid4(),
            user_id,
            title="Places",
            metadata_data={},
            document_status=DocumentStatus.READY,
            workflow_id="ingest",
        )
    return agent_run_id


async def answer_after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "there"


async def fail() -> str:
    raise UnavailableError("gone")


async def test_a_wait_is_told_once_it_is_long(
    sessions: Sessions, run_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ups, "TELL_AFTER_SECONDS", 0.2)
    waits = LookUps(sessions)
    assert await waits.wait(run_id, "retrieve", "chroma", answer_after(0)) == "there"
    assert await told(sessions, run_id) == []
    assert await waits.wait(run_id, "retrieve", "chroma", answer_after(0.6)) == "there"
    assert await told(sessions, run_id) == [WAITING]
    with pytest.raises(UnavailableError):
        await waits.wait(run_id, "retrieve", "chroma", fail())
    assert await told(sessions, run_id) == [WAITING] * 2
    await finish(sessions, run_id)
    assert await waits.wait(run_id, "retrieve", "chroma", answer_after(0.6)) == "there"
    assert (await told(sessions, run_id))[2:] == [{"run_status": "completed"}]


async def retrieve(sessions: Sessions, run_id: UUID, embedder_url: str, age: timedelta) -> int:
    """Try a retrieval that began so long ago; nothing is where Chroma should be."""
    async with (
        open_chroma("http://127.0.0.1:1") as nowhere,
        open_embedder(f"{embedder_url}/v1", "k", "m") as embedder,
    ):
        library = KnowledgeSearch(nowhere, embedder, sessions)
        activities = RetrievalActivities(Retrieval(library, sessions), library, sessions)
        env = ActivityEnvironment()
        env.info = dataclasses.replace(env.info, scheduled_time=datetime.now(UTC) - age)
        order = StepInput(agent_run_id=run_id, step=0, at=datetime.now(UTC))
        found: int = await env.run(activities.retrieve, order)
        return found


async def test_a_question_that_cannot_be_embedded_finds_nothing(
    sessions: Sessions, run_id: UUID
) -> None:
    async with page(reply(b"{}", "413 Content Too Large", "application/json")) as url:
        assert await retrieve(sessions, run_id, url, timedelta(0)) == 0
    # Reason: on a busy machine, loading the SDK takes so long that a wait is told before.
    event = (await told(sessions, run_id))[-1]
    assert (event["passages"], event["skipped"]["code"]) == ([], "embeddings_rejected")
    async with sessions() as session:
        assert (await session.get_one(AgentRun, run_id)).passages_data == []


async def test_what_is_down_is_tried_again_for_a_while_only(
    sessions: Sessions, run_id: UUID
) -> None:
    body = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0, 0.0]}]}
    answer = reply(json.dumps(body).encode(), kind="application/json")
    async with page(answer) as url:
        with pytest.raises(UnavailableError):
            await retrieve(sessions, run_id, url, timedelta(0))
        assert await told(sessions, run_id) == [WAITING]
        assert await retrieve(sessions, run_id, url, PATIENCE) == 0
    assert (await told(sessions, run_id))[-1]["skipped"]["code"] == "chroma_unavailable"


async def test_who_has_no_documents_waits_for_nobody(sessions: Sessions, run_id: UUID) -> None:
    async with sessions.begin() as session:
        run = await session.get_one(AgentRun, run_id)
        for document in (await DocumentRepository(session).list(run.user_id, 10, None)).items:
            await DocumentRepository(session).soft_delete(document.document_id, run.user_id)
    assert await retrieve(sessions, run_id, "http://127.0.0.1:1", timedelta(0)) == 0
    assert await told(sessions, run_id) == [{"step": "retrieve", "passages": []}]


async def test_a_run_that_is_over_keeps_nothing(sessions: Sessions, run_id: UUID) -> None:
    """As after a cancel in mid-search: the next run's numbers are not taken."""
    await finish(sessions, run_id)
    async with page(reply(b"{}", "400 Bad Request", "application/json")) as url:
        assert await retrieve(sessions, run_id, url, timedelta(0)) == 0
    async with sessions() as session:
        assert (await session.get_one(AgentRun, run_id)).passages_data is None
