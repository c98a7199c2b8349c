"""Searches the documents and the memories of one user by meaning."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from adapters.chroma.client import Chroma, ChromaCollection, Entry, Found
from adapters.embeddings import Embedder, Vector
from database.knowledge.documents import DocumentRepository
from database.session import Sessions
from domain.errors import UnavailableError
from domain.knowledge.documents import Memory, NewMemory, Passage

# Reason: passages of deleted or unfinished documents are filtered out after the search.
SPARE_COUNT = 20
# Reason: a caller waits for the search; a slower system counts as down. A small embedding model
# may have to be loaded first.
EMBED_SECONDS = 10.0
SEARCH_SECONDS = 5.0


class KnowledgeSearch:
    """Searches by meaning in Chroma; PostgreSQL decides which documents exist."""

    def __init__(self, chroma: Chroma, embedder: Embedder, sessions: Sessions) -> None:
        self._chroma = chroma
        self._embedder = embedder
        self._sessions = sessions

    async def search_documents(self, user_id: UUID, query: str, limit: int) -> list[Passage]:
        """Find passages of a user's ready documents, the best first.

        Raises:
            UnavailableError: Chroma or the embedding model is down.
        """
        return await self.passages_near(user_id, await self.vector_of(query), limit)

    async def search_memories(self, user_id: UUID, query: str, limit: int) -> list[Memory]:
        """Find memories of a user, the best first.

        Raises:
            UnavailableError: Chroma or the embedding model is down.
        """
        return await self.memories_near(user_id, await self.vector_of(query), limit)

    async def vector_of(self, query: str) -> Vector:
        """Return the embedding vector of a query.

        Raises:
            UnavailableError: The embedding model is down or too slow.
            ProviderRejectedError: The embedding model refuses the text, even shortened.
        """
        async with _within(EMBED_SECONDS, "the embedding model", "embeddings_unavailable"):
            [vector] = await self._embedder.embed([query])
        return vector

    async def passages_near(self, user_id: UUID, vector: Vector, limit: int) -> list[Passage]:
        """Find the passages of a user's ready documents that are nearest to a vector.

        Args:
            user_id: Owner of the documents.
            vector: Embedding of the query.
            limit: Highest number of passages to return.

        Returns:
            The passages, the best first.

        Raises:
            UnavailableError: Chroma is down or too slow.
        """
        found = await self._near(ChromaCollection.PASSAGES, user_id, vector, limit + SPARE_COUNT)
        ids = {UUID(str(entry.metadata["document_id"])) for entry in found}
        async with self._sessions() as session:
            titles = await DocumentRepository(session).ready_titles(user_id, ids)
        passages = [
            Passage(
                document_id=document_id,
                title=titles[document_id],
                chunk_index=int(entry.metadata["chunk_index"]),
                page_number=_page_number(entry),
                text=entry.text,
                score=entry.score,
            )
            for entry in found
            if (document_id := UUID(str(entry.metadata["document_id"]))) in titles
        ]
        return passages[:limit]

    async def memories_near(self, user_id: UUID, vector: Vector, limit: int) -> list[Memory]:
        """Find the memories of a user that are nearest to a vector.

        Args:
            user_id: Owner of the memories.
            vector: Embedding of the query.
            limit: Highest number of memories to return.

        Returns:
            The memories, the best first.

        Raises:
            UnavailableError: Chroma is down or too slow.
        """
        found = await self._near(ChromaCollection.MEMORIES, user_id, vector, limit)
        return [read_memory(entry, entry.score) for entry in found]

    async def remember(self, memories: Sequence[NewMemory]) -> None:
        """Store memories of users; the same id is stored once.

        Args:
            memories: Memories to store.

        Raises:
            UnavailableError: Chroma or the embedding model is down.
        """
        vectors = await self._embedder.embed([memory.text for memory in memories])
        entries = [
            Entry(str(memory.memory_id), vector, memory.text, _metadata(memory))
            for memory, vector in zip(memories, vectors, strict=True)
        ]
        await self._chroma.put(ChromaCollection.MEMORIES, self._embedder.model, entries)

    async def _near(
        self,
        collection: ChromaCollection,
        user_id: UUID,
        vector: Vector,
        limit: int,
    ) -> list[Found]:
        model = self._embedder.model
        async with _within(SEARCH_SECONDS, "Chroma", "chroma_unavailable"):
            return await self._chroma.search(collection, model, vector, str(user_id), limit)


def _page_number(entry: Found) -> int | None:
    number = entry.metadata.get("page_number")
    return None if number is None else int(number)


@asynccontextmanager
async def _within(seconds: float, system: str, code: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UnavailableError(f"{system} does not answer in time", code) from error


def _metadata(memory: NewMemory) -> dict[str, str]:
    metadata = {"user_id": str(memory.user_id), "created_at": memory.created_at.isoformat()}
    if memory.conversation_id is not None:
        metadata["conversation_id"] = str(memory.conversation_id)
    if memory.agent_run_id is not None:
        metadata["agent_run_id"] = str(memory.agent_run_id)
    return metadata


def read_memory(found: Found, score: float | None) -> Memory:
    """Convert an entry of Chroma into a memory."""
    return Memory(
        memory_id=UUID(found.entry_id),
        text=found.text,
        score=score,
        **{key: value for key, value in found.metadata.items() if key != "user_id"},
    )
