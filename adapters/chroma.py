"""Client of Chroma's HTTP API.

The package `chromadb` is not used: its import costs a second and 70 MB per process.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from operator import mul
from typing import Any, NamedTuple

import httpx

from adapters.tls import trusted
from domain.errors import ProviderRejectedError, UnavailableError

TIMEOUT_SECONDS = 10.0
BATCH_SIZE = 500
# With fewer results, a user has few texts or the index has missed some of them.
MIN_RESULT_COUNT = 24
# At most so many of the user's texts are then compared one by one.
MAX_COMPARED_COUNT = 500
_DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
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


class _Api:
    """Sends requests to Chroma, and raises our own errors."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            reply = await self._http.request(method, f"{_DATABASE}{path}", json=body)
        except httpx.TransportError as error:
            raise UnavailableError("Chroma cannot be reached", "chroma_unavailable") from error
        # Reason: another process may have just created or removed the collection; a retry helps.
        if reply.status_code >= 500 or reply.status_code in {404, 408, 409, 429}:
            raise UnavailableError("Chroma cannot answer now", "chroma_unavailable")
        if reply.is_error:
            raise ProviderRejectedError("Chroma refused a request", "chroma_rejected")
        return reply.json()


class Chroma:
    """Client of Chroma: one collection for each kind of text and embedding model.

    Vectors of different models cannot be compared.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._api = _Api(http)

    async def put(self, kind: ChromaCollection, model: str, entries: Sequence[Entry]) -> None:
        """Store texts with vectors of one model; replace those whose ids exist already.

        Raises:
            UnavailableError: Chroma is down.
        """
        if not entries:
            return
        collection = await self._collection(kind, model, len(entries[0].vector))
        for start in range(0, len(entries), BATCH_SIZE):
            batch = entries[start : start + BATCH_SIZE]
            body = {
                "ids": [entry.entry_id for entry in batch],
                "embeddings": [entry.vector for entry in batch],
                "documents": [entry.text for entry in batch],
                "metadatas": [entry.metadata for entry in batch],
            }
            await self._api.call("POST", f"/collections/{collection}/upsert", body)

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
        body = {
            "query_embeddings": [vector],
            "n_results": max(limit, MIN_RESULT_COUNT),
            "where": {"user_id": user_id},
            "include": ["documents", "metadatas", "distances"],
        }
        reply = await self._api.call("POST", f"/collections/{collection}/query", body)
        scores = [1.0 - distance for distance in reply["distances"][0]]
        found = list(
            map(Found, reply["ids"][0], reply["documents"][0], reply["metadatas"][0], scores)
        )
        if len(found) >= MIN_RESULT_COUNT:
            return found[:limit]
        # Reason: if one user stores the same text very often, the index may not find the texts of
        # other users. So the texts of a user with few results are compared one by one.
        body = {
            "where": {"user_id": user_id},
            "limit": MAX_COMPARED_COUNT,
            "include": ["documents", "metadatas", "embeddings"],
        }
        reply = await self._api.call("POST", f"/collections/{collection}/get", body)
        found_ids = {each.entry_id for each in found}
        rest = await asyncio.to_thread(_scored, vector, reply)
        found += [each for each in rest if each.entry_id not in found_ids]
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
        include = ["documents", "metadatas"] if has_text else ["metadatas"]
        for collection in await self._collections(kind, model):
            body = {**where, "include": include}
            reply = await self._api.call("POST", f"/collections/{collection}/get", body)
            texts = reply["documents"] or [""] * len(reply["ids"])
            found += map(Found, reply["ids"], texts, reply["metadatas"])
        return found

    async def delete(self, kind: ChromaCollection, where: Where) -> None:
        """Delete all stored texts that match, of all models.

        Raises:
            UnavailableError: Chroma is down.
        """
        for collection in await self._collections(kind):
            await self._api.call("POST", f"/collections/{collection}/delete", where)

    async def _collection(self, kind: ChromaCollection, model: str, dimension: int) -> str:
        name = f"{_prefix(kind, model)}{dimension}"
        body = {"name": name, "get_or_create": True, "configuration": {"hnsw": {"space": "cosine"}}}
        return str((await self._api.call("POST", "/collections", body))["id"])

    async def _collections(self, kind: ChromaCollection, model: str | None = None) -> Sequence[str]:
        listed = await self._api.call("GET", "/collections")
        # Reason: the name of one model may be the beginning of another model's name.
        pattern = re.compile(rf"{re.escape(_prefix(kind, model))}\d+" if model else rf"{kind}-.*")
        return [each["id"] for each in listed if pattern.fullmatch(each["name"])]


def _scored(vector: Sequence[float], reply: Any) -> list[Found]:
    """Return stored texts with their scores for a vector, computed one by one."""
    length = math.hypot(*vector)
    scores = [
        sum(map(mul, vector, each)) / ((length * math.hypot(*each)) or 1.0)
        for each in reply["embeddings"]
    ]
    return list(map(Found, reply["ids"], reply["documents"], reply["metadatas"], scores))


def _prefix(kind: ChromaCollection, model: str) -> str:
    return f"{kind}-{_NOT_ALPHANUMERIC.sub('-', model).strip('-')}-"


@asynccontextmanager
async def open_chroma(url: str) -> AsyncIterator[Chroma]:
    """Open a client of a Chroma server, which need not run yet."""
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"),
        verify=trusted(),
        timeout=TIMEOUT_SECONDS,
    ) as http:
        yield Chroma(http)
