"""Memories: each completed run's is stored once, whatever fails; a bad one holds up no other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, update

from adapters.chroma.client import ChromaCollection, open_chroma
from adapters.embeddings import open_embedder
from commands.migrate import migrate_database
from database.agents.models import AgentRun
from database.session import Sessions, make_engine, make_sessions
from services.agents.knowledge import memory_writer
from services.agents.knowledge.memory_writer import MemoryWriter
from services.knowledge.search import KnowledgeSearch
from tests.conftest import own_database
from tests.support.streams import add_question, add_run, finish

NOWHERE = "http://127.0.0.1:1"
BAD = "No?"


async def embed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as an embedding server does that refuses one text."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if b"ength:" in x)
    texts = json.loads(await reader.readexactly(length))["input"]
    status = "200 OK"
    data = [{"object": "embedding", "index": i, "embedding": [1.0, 0.0]} for i in range(len(texts))]
    document: dict[str, object] = {"object": "list", "model": "m", "data": data}
    # Reason: what is refused is tried again shortened.
    if any(text.startswith("The user asked: N") for text in texts):
        status, document = "400 Bad Request", {"error": {"message": "no"}}
    body = json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
    await writer.drain()
    writer.close()


@asynccontextmanager
async def writing(
    sessions: Sessions, chroma_url: str, model: str = "m"
) -> AsyncIterator[tuple[MemoryWriter, KnowledgeSearch]]:
    server = await asyncio.start_server(embed, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with (
        server,
        open_chroma(chroma_url) as chroma,
        open_embedder(url, "k", model) as embedder,
    ):
        library = KnowledgeSearch(chroma, embedder, sessions)
        yield MemoryWriter(library, sessions), library


async def add_due(sessions: Sessions, output: str = "Yes.", question: str = "Is it?") -> UUID:
    agent_run_id = await add_run(sessions)
    await add_question(sessions, agent_run_id, question)
    await finish(sessions, agent_run_id)
    async with sessions.begin() as session:
        values = {"memory_due_at": func.now() - timedelta(seconds=1), "output": output}
        due = update(AgentRun).where(AgentRun.agent_run_id == agent_run_id)
        await session.execute(due.values(**values))
    return agent_run_id


async def due_ids(sessions: Sessions, *run_ids: UUID) -> set[UUID]:
    async with sessions() as session:
        runs = [await session.get_one(AgentRun, each) for each in run_ids]
    return {run.agent_run_id for run in runs if run.memory_due_at is not None}


async def texts(sessions: Sessions, chroma_url: str, run_id: UUID, model: str) -> list[str]:
    async with open_chroma(chroma_url) as chroma:
        where = {"ids": [str(run_id)]}
        found = await chroma.list(ChromaCollection.MEMORIES, where, model, has_text=True)
    return [each.text for each in found]


# Reason: the workers that other tests of this process started store what is due in their database.
@pytest.fixture(scope="module")
async def sessions() -> AsyncIterator[Sessions]:
    with own_database() as server:
        migrate_database(server.get_uri())
        engine = make_engine(server.get_uri(), pool_size=20)
        yield make_sessions(engine)
        await engine.dispose()


@pytest.fixture
async def clean(sessions: Sessions) -> None:
    """Leave no memory of other tests due."""
    async with sessions.begin() as session:
        await session.execute(update(AgentRun).values(memory_due_at=None))


@pytest.mark.usefixtures("clean")
async def test_a_bad_memory_is_dropped_and_holds_up_no_other(
    sessions: Sessions, chroma_url: str
) -> None:
    model = f"m{uuid4().hex[:6]}"
    good, bad, other = (
        await add_due(sessions),
        await add_due(sessions, question=BAD),
        await add_due(sessions, "No."),
    )
    async with writing(sessions, chroma_url, model) as (writer, _):
        assert await writer.write_due() == 3
        assert await writer.write_due() == 0
    assert await due_ids(sessions, good, bad, other) == set()
    told = "The user asked: Is it?\nThe answer was: "
    assert await texts(sessions, chroma_url, good, model) == [f"{told}Yes."]
    assert await texts(sessions, chroma_url, other, model) == [f"{told}No."]
    assert await texts(sessions, chroma_url, bad, model) == []


@pytest.mark.usefixtures("clean")
async def test_what_nobody_foresaw_is_not_tried_for_ever(
    sessions: Sessions, chroma_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await add_due(sessions), await add_due(sessions)

    async def break_down(_: object) -> None:
        raise ZeroDivisionError

    async with writing(sessions, chroma_url) as (writer, library):
        monkeypatch.setattr(library, "remember", break_down)
        assert await writer.write_due() == 2
    assert await due_ids(sessions, first, second) == set()


@pytest.mark.usefixtures("clean")
async def test_memories_wait_for_chroma_and_are_stored_once_it_is_back(
    sessions: Sessions, chroma_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_writer, "LEASE", timedelta(seconds=0))
    run_id, model = await add_due(sessions), f"m{uuid4().hex[:6]}"
    async with writing(sessions, NOWHERE, model) as (writer, _):
        assert await writer.write_due() == 1
    assert await due_ids(sessions, run_id) == {run_id}
    async with writing(sessions, chroma_url, model) as (writer, _):
        assert await writer.write_due() == 1
    assert await due_ids(sessions, run_id) == set()
    assert len(await texts(sessions, chroma_url, run_id, model)) == 1


@pytest.mark.usefixtures("clean")
async def test_what_one_writer_has_claimed_is_left_to_it(
    sessions: Sessions, chroma_url: str
) -> None:
    run_id = await add_due(sessions)
    async with (
        writing(sessions, NOWHERE) as (first, _),
        writing(sessions, chroma_url) as (second, _),
    ):
        assert await first.write_due() == 1
        assert await second.write_due() == 0
    assert await due_ids(sessions, run_id) == {run_id}
