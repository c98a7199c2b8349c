"""Chroma, by its HTTP interface: importing its own client costs a second and 70 MB a process."""

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
# Fewer than this show that a user has few texts, or that the index does not find them.
FOUND_COUNT = 24
# How many of one user's texts are compared one by one then.
COMPARED_COUNT = 500
_DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
_ODD = re.compile(r"[^A-Za-z0-9]+")

Metadata = Mapping[str, str | int]
Where = Mapping[str, Any]


class ChromaCollection(StrEnum):
    """What kind of text a collection holds."""

    PASSAGES = "passages"
    MEMORIES = "memories"


class Entry(NamedTuple):
    """A text with its vector, to be stored; the same id is stored once."""

    entry_id: str
    vector: Sequence[float]
    text: str
    metadata: Metadata


class Found(NamedTuple):
    """A stored text; the score is 1 for the same meaning, and 0 where nothing was asked."""

    entry_id: str
    text: str
    metadata: Metadata
    score: float = 0.0


class _Api:
    """The calls, with our own errors."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            reply = await self._http.request(method, f"{_DATABASE}{path}", json=body)
        except httpx.TransportError as error:
            raise UnavailableError("Chroma cannot be reached", "chroma_unavailable") from error
        # Reason: a collection that was just made or removed by another is there the next time.
        if reply.status_code >= 500 or reply.status_code in {404, 408, 409, 429}:
            raise UnavailableError("Chroma does not serve", "chroma_unavailable")
        if reply.is_error:
            raise ProviderRejectedError("Chroma refused a request", "chroma_rejected")
        return reply.json()


class Chroma:
    """One collection for each shelf and embedding model: their vectors cannot be compared."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._api = _Api(http)

    async def put(self, shelf: ChromaCollection, model: str, entries: Sequence[Entry]) -> None:
        """Store texts of one model; those whose ids are there already are replaced.

        Raises:
            UnavailableError: Chroma is down.
        """
        if not entries:
            return
        collection = await self._collection(shelf, model, len(entries[0].vector))
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
        shelf: ChromaCollection,
        model: str,
        vector: Sequence[float],
        user_id: str,
        limit: int,
    ) -> list[Found]:
        """Return what means nearly the same, of one user only, the nearest first.

        Raises:
            UnavailableError: Chroma is down.
        """
        collection = await self._collection(shelf, model, len(vector))
        body = {
            "query_embeddings": [vector],
            "n_results": max(limit, FOUND_COUNT),
            "where": {"user_id": user_id},
            "include": ["documents", "metadatas", "distances"],
        }
        reply = await self._api.call("POST", f"/collections/{collection}/query", body)
        scores = [1.0 - distance for distance in reply["distances"][0]]
        found = list(
            map(Found, reply["ids"][0], reply["documents"][0], reply["metadatas"][0], scores)
        )
        if len(found) >= FOUND_COUNT:
            return found[:limit]
        # Reason: an index in which somebody stores the same text very often finds no way to others'
        # texts. Whoever has few is compared with all of them.
        body = {
            "where": {"user_id": user_id},
            "limit": COMPARED_COUNT,
            "include": ["documents", "metadatas", "embeddings"],
        }
        reply = await self._api.call("POST", f"/collections/{collection}/get", body)
        known = {each.entry_id for each in found}
        rest = await asyncio.to_thread(_compared, vector, reply)
        found += [each for each in rest if each.entry_id not in known]
        return sorted(found, key=lambda each: each.score, reverse=True)[:limit]

    async def list(
        self,
        shelf: ChromaCollection,
        where: Where,
        model: str | None = None,
        *,
        has_text: bool = False,
    ) -> list[Found]:
        """Return all that fits, of one model or of any, in no order.

        Args:
            shelf: Where to look.
            where: `ids`, or a `where` of Chroma's.
            model: None looks at all models' collections.
            has_text: Whether to read the texts too.

        Returns:
            What there is.

        Raises:
            UnavailableError: Chroma is down.
        """
        found: list[Found] = []
        include = ["documents", "metadatas"] if has_text else ["metadatas"]
        for collection in await self._collections(shelf, model):
            body = {**where, "include": include}
            reply = await self._api.call("POST", f"/collections/{collection}/get", body)
            texts = reply["documents"] or [""] * len(reply["ids"])
            found += map(Found, reply["ids"], texts, reply["metadatas"])
        return found

    async def delete(self, shelf: ChromaCollection, where: Where) -> None:
        """Remove all that fits, of any model.

        Raises:
            UnavailableError: Chroma is down.
        """
        for collection in await self._collections(shelf):
            await self._api.call("POST", f"/collections/{collection}/delete", where)

    async def _collection(self, shelf: ChromaCollection, model: str, dimension: int) -> str:
        name = f"{_prefix(shelf, model)}{dimension}"
        body = {"name": name, "get_or_create": True, "configuration": {"hnsw": {"space": "cosine"}}}
        return str((await self._api.call("POST", "/collections", body))["id"])

    async def _collections(
        self, shelf: ChromaCollection, model: str | None = None
    ) -> Sequence[str]:
        listed = await self._api.call("GET", "/collections")
        # Reason: one model's name may be the beginning of another's.
        own = re.compile(rf"{re.escape(_prefix(shelf, model))}\d+" if model else rf"{shelf}-.*")
        return [each["id"] for each in listed if own.fullmatch(each["name"])]


def _compared(vector: Sequence[float], reply: Any) -> list[Found]:
    """Score stored texts against a vector, one by one."""
    length = math.hypot(*vector)
    scores = [
        sum(map(mul, vector, each)) / ((length * math.hypot(*each)) or 1.0)
        for each in reply["embeddings"]
    ]
    return list(map(Found, reply["ids"], reply["documents"], reply["metadatas"], scores))


def _prefix(shelf: ChromaCollection, model: str) -> str:
    return f"{shelf}-{_ODD.sub('-', model).strip('-')}-"


@asynccontextmanager
async def open_chroma(url: str) -> AsyncIterator[Chroma]:
    """Open connections to a Chroma server; it need not be there yet."""
    async with httpx.AsyncClient(
        base_url=url.rstrip("/"),
        verify=trusted(),
        timeout=TIMEOUT_SECONDS,
    ) as http:
        yield Chroma(http)
