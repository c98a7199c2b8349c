"""Questions in other words than those of the documents find the right one near the top."""

import asyncio
import tomllib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from adapters.chroma.client import open_chroma
from adapters.embeddings import LocalEmbedder
from config import Settings
from database.session import Sessions
from services.knowledge.passages import INGESTIONS_PER_USER
from services.knowledge.search import KnowledgeSearch
from tests.api.conftest import Person
from tests.api.knowledge.test_documents import ingest
from tests.conftest import Measure

HANDBOOK = tomllib.loads(Path(__file__).with_name("handbook.toml").read_text(encoding="utf-8"))
LIMIT = 10
LEAST_MRR = 0.75

pytestmark = pytest.mark.usefixtures("workers", "chroma_url")


def reciprocal_rank(found: Sequence[UUID], right: UUID) -> float:
    """Return 1 for the first place, 1/2 for the second, and 0 for no place."""
    return 1 / (found.index(right) + 1) if right in found else 0.0


async def ingest_handbook(person: Person) -> dict[str, UUID]:
    """Hand in all documents, a few at a time, and return their ids by name."""
    turns = asyncio.Semaphore(INGESTIONS_PER_USER)

    async def hand_in(title: str, text: str) -> UUID:
        async with turns:
            document = await ingest(person, title=title, content=text)
        assert document["document_status"] == "ready", document
        return UUID(document["document_id"])

    documents = HANDBOOK["document"]
    ids = await asyncio.gather(*[hand_in(each["title"], each["text"]) for each in documents])
    return dict(zip([each["name"] for each in documents], ids, strict=True))


async def test_the_right_document_is_found(
    user: Person, settings: Settings, sessions: Sessions, measure: Measure
) -> None:
    ids = await ingest_handbook(user)
    ranks: dict[str, float] = {}
    async with open_chroma(settings.chroma_url) as chroma:
        library = KnowledgeSearch(chroma, LocalEmbedder(), sessions)
        for question in HANDBOOK["question"]:
            passages = await library.search_documents(user.user_id, question["ask"], LIMIT)
            found = list(dict.fromkeys(passage.document_id for passage in passages))
            ranks[question["ask"]] = reciprocal_rank(found, ids[question["document"]])
    mrr = sum(ranks.values()) / len(ranks)
    first = sum(rank == 1 for rank in ranks.values())
    measure(
        f"retrieval: MRR@{LIMIT} {mrr:.3f}, {first} of {len(ranks)} questions at the first place"
    )
    worst = sorted(ranks, key=lambda ask: ranks[ask])[:10]
    assert mrr >= LEAST_MRR, {ask: round(ranks[ask], 2) for ask in worst}


def test_the_set_is_whole() -> None:
    names = [each["name"] for each in HANDBOOK["document"]]
    assert len(set(names)) == len(names) >= 40
    asked = [each["ask"] for each in HANDBOOK["question"]]
    assert len(set(asked)) == len(asked) >= 60
    assert {each["document"] for each in HANDBOOK["question"]} == set(names)
