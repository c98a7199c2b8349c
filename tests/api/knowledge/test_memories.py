"""Memories: of one user only, found by meaning, deleted for good."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from adapters.chroma.client import open_chroma
from adapters.embeddings import LocalEmbedder
from database.session import Sessions
from domain.knowledge.documents import NewMemory
from services.knowledge.search import KnowledgeSearch
from tests.api.conftest import API, Person, problem

THEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEXTS = ("They travel with a dog.", "They pay by card.", "They live in Lisbon.")


@pytest.fixture(scope="module")
async def library(chroma_url: str, sessions: Sessions) -> AsyncIterator[KnowledgeSearch]:
    async with open_chroma(chroma_url) as chroma:
        yield KnowledgeSearch(chroma, LocalEmbedder(), sessions)


@pytest.fixture
async def memories(library: KnowledgeSearch, user: Person) -> list[UUID]:
    ids = []
    for number, text in enumerate(TEXTS):
        memory_id = uuid4()
        for _ in range(2):  # the second time changes nothing
            at = THEN + timedelta(hours=number)
            memory = NewMemory(
                memory_id=memory_id,
                user_id=user.user_id,
                text=text,
                conversation_id=uuid4(),
                created_at=at,
            )
            await library.remember([memory])
        ids.append(memory_id)
    return ids


async def test_the_newest_come_first(user: Person, memories: list[UUID]) -> None:
    first = await user.get("memories", limit=2)
    assert [item["text"] for item in first["items"]] == [TEXTS[2], TEXTS[1]]
    assert first["items"][0]["memory_id"] == str(memories[2])
    assert first["items"][0]["conversation_id"] is not None
    assert first["items"][0]["agent_run_id"] is None
    second = await user.get("memories", limit=2, cursor=first["next_cursor"])
    assert [item["text"] for item in second["items"]] == [TEXTS[0]]
    assert second["next_cursor"] is None
    reply = await user.http.get(f"{API}/memories", params={"cursor": "x"})
    problem(reply, 422, "invalid_cursor")


async def test_a_query_ranks_by_meaning(
    user: Person, memories: list[UUID], library: KnowledgeSearch
) -> None:
    found = await user.get("memories", query="Which town is their home?", limit=2)
    assert found["items"][0]["text"] == TEXTS[2]
    assert len(found["items"]) == 2
    assert found["items"][0]["score"] > found["items"][1]["score"]
    [best] = await library.search_memories(user.user_id, "pets", 1)
    assert (best.text, best.created_at) == (TEXTS[0], THEN)


async def test_never_across_users(
    user: Person, other: Person, admin: Person, memories: list[UUID], library: KnowledgeSearch
) -> None:
    assert (await other.get("memories"))["items"] == []
    assert (await other.get("memories", query="dog"))["items"] == []
    assert await library.search_memories(other.user_id, "dog", 5) == []
    path = f"{API}/memories/{memories[0]}"
    problem(await other.http.delete(path), 404, "not_found")
    reply = await other.http.get(f"{API}/memories", params={"user_id": str(user.user_id)})
    problem(reply, 404, "not_found")
    assert len((await admin.get("memories", user_id=str(user.user_id)))["items"]) == 3
    assert (await admin.get("memories"))["items"] == []


async def test_a_deleted_memory_is_forgotten(user: Person, memories: list[UUID]) -> None:
    path = f"{API}/memories/{memories[0]}"
    assert (await user.http.delete(path)).status_code == 204
    problem(await user.http.delete(path), 404, "not_found")
    assert len((await user.get("memories"))["items"]) == 2
    texts = [item["text"] for item in (await user.get("memories", query="dog"))["items"]]
    assert TEXTS[0] not in texts
    problem(await user.http.delete(f"{API}/memories/{uuid4()}"), 404, "not_found")


@pytest.mark.parametrize("query", ["", "x" * 1_001])
async def test_bad_input_is_refused(user: Person, query: str) -> None:
    reply = await user.http.get(f"{API}/memories", params={"query": query})
    problem(reply, 422, "invalid_input")
