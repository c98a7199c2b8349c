"""Stores and finds texts in Chroma."""

import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.chroma.connection import ChromaConnection, chroma_request, open_connection
from domain.errors import ApplicationError

if TYPE_CHECKING:
    from chromadb.api.models.AsyncCollection import AsyncCollection

BATCH_SIZE = 500
# With fewer results, a user has few texts or the index has missed some of them.
MIN_RESULT_COUNT = 24
# At most so many of the user's texts are then compared one by one.
MAX_COMPARED_COUNT = 500
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")

Metadata = Mapping[str, str | int]
Where = Mapping[str, Any]


class ChromaCollection(StrEnum):
    """Kind of text that a collection holds."""

    PASSAGES = "passages"
    MEMORIES = "memories"


class Entry(NamedTuple):
    """A text with its vector, to be stored; an id is stored once."""

    entry_id: str
    vector: Sequence[float]
    text: str
    metadata: Metadata


class Found(NamedTuple):
    """A stored text; its score is 1 for the same meaning, and 0 without a search."""

    entry_id: str
    text: str
    metadata: Metadata
    score: float = 0.0


class Chroma:
    """Client of Chroma: one collection for each kind of text and embedding model.

    Vectors of different models cannot be compared.
    """

    def __init__(self, connection: ChromaConnection) -> None:
        self._connection = connection
        self._known: dict[str, AsyncCollection] = {}

    async def put(self, kind: ChromaCollection, model: str, entries: Sequence[Entry]) -> None:
        """Store texts with vectors of one model; replace those whose ids exist already.

        Raises:
            UnavailableError: Chroma is down.
        """
        if not entries:
            return
        collection = await self._collection(kind, model, len(entries[0].vector))
        # Reason: the package builds and calls embedding functions that the server's description of
        # a collection names. Our vectors come from the embedder, and no code is named by a server.
        collection.get_model().serialized_schema = None
        for start in range(0, len(entries), BATCH_SIZE):
            batch = entries[start : start + BATCH_SIZE]
            async with self._request():
                await collection.upsert(
                    ids=[entry.entry_id for entry in batch],
                    embeddings=[entry.vector for entry in batch],
                    documents=[entry.text for entry in batch],
                    metadatas=[dict(entry.metadata) for entry in batch],
                )

    async def search(
        self,
        kind: ChromaCollection,
        model: str,
        vector: Sequence[float],
        user_id: str,
        limit: int,
    ) -> list[Found]:
        """Return the texts of one user that are nearest in meaning, the nearest first.

        Raises:
            UnavailableError: Chroma is down.
        """
        collection = await self._collection(kind, model, len(vector))
        reply: Any
        async with self._request():
            reply = await collection.query(
                query_embeddings=[vector],
                n_results=max(limit, MIN_RESULT_COUNT),
                where={"user_id": user_id},
                include=["documents", "metadatas", "distances"],
            )
        scores = [1.0 - distance for distance in reply["distances"][0]]
        found = list(
            map(Found, reply["ids"][0], reply["documents"][0], reply["metadatas"][0], scores)
        )
        if len(found) >= MIN_RESULT_COUNT:
            return found[:limit]
        # Reason: if one user stores the same text very often, the index may not find the texts of
        # other users. So the texts of a user with few results are compared one by one.
        async with self._request():
            reply = await collection.get(
                where={"user_id": user_id},
                limit=MAX_COMPARED_COUNT,
                include=["documents", "metadatas", "embeddings"],
            )
        found_ids = {each.entry_id for each in found}
        found += [each for each in _scored(vector, reply) if each.entry_id not in found_ids]
        return sorted(found, key=lambda each: each.score, reverse=True)[:limit]

    async def list(
        self,
        kind: ChromaCollection,
        where: Where,
        model: str | None = None,
        *,
        has_text: bool = False,
    ) -> list[Found]:
        """Return all stored texts that match, of one model or of all, in no order.

        Args:
            kind: Kind of text to list.
            where: `ids`, or a `where` filter of Chroma.
            model: Embedding model; None lists the collections of all models.
            has_text: Whether to read the texts too.

        Returns:
            Matching entries, with empty texts unless `has_text`.

        Raises:
            UnavailableError: Chroma is down.
        """
        found: list[Found] = []
        for collection in await self._collections(kind, model):
            async with chroma_request():
                reply: Any = await collection.get(
                    **where, include=["documents", "metadatas"] if has_text else ["metadatas"]
                )
            texts = reply["documents"] or [""] * len(reply["ids"])
            found += map(Found, reply["ids"], texts, reply["metadatas"])
        return found

    async def delete(self, kind: ChromaCollection, where: Where) -> None:
        """Delete all stored texts that match, of all models.

        Raises:
            UnavailableError: Chroma is down.
        """
        for collection in await self._collections(kind):
            async with chroma_request():
                await collection.delete(**where)

    async def _collection(
        self, kind: ChromaCollection, model: str, dimension: int
    ) -> "AsyncCollection":
        """Return a collection, which is created or asked for once."""
        name = f"{_prefix(kind, model)}{dimension}"
        if name not in self._known:
            client = await self._connection.get()
            async with chroma_request():
                self._known[name] = await client.get_or_create_collection(
                    name,
                    configuration={"hnsw": {"space": "cosine"}},
                    embedding_function=None,
                )
        return self._known[name]

    @asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        """Send a request about a collection that was asked for before."""
        try:
            async with chroma_request():
                yield
        except ApplicationError:
            # Reason: the collection may have been removed, and then has another id the next time.
            self._known.clear()
            raise

    async def _collections(
        self, kind: ChromaCollection, model: str | None = None
    ) -> Sequence["AsyncCollection"]:
        client = await self._connection.get()
        async with chroma_request():
            listed = await client.list_collections()
        # Reason: the name of one model may be the beginning of another model's name.
        pattern = re.compile(rf"{re.escape(_prefix(kind, model))}\d+" if model else rf"{kind}-.*")
        return [each for each in listed if pattern.fullmatch(each.name)]


def _scored(vector: Sequence[float], reply: Any) -> list[Found]:
    """Return stored texts with their scores for a vector, computed one by one."""
    if not reply["ids"]:
        return []
    stored = reply["embeddings"]
    lengths = (stored**2).sum(axis=1) ** 0.5 * math.hypot(*vector)
    lengths[lengths == 0.0] = 1.0
    scores = (stored @ vector / lengths).tolist()
    return list(map(Found, reply["ids"], reply["documents"], reply["metadatas"], scores))


def _prefix(kind: ChromaCollection, model: str) -> str:
    return f"{kind}-{_NOT_ALPHANUMERIC.sub('-', model).strip('-')}-"


@asynccontextmanager
async def open_chroma(url: str) -> AsyncIterator[Chroma]:
    """Open a client of a Chroma server, which need not run yet."""
    async with open_connection(url) as connection:
        yield Chroma(connection)
