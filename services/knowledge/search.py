"""What agents can look up: passages of documents, and memories. Of one user, never across."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from adapters.chroma import Chroma, ChromaCollection, Entry, Found
from adapters.embeddings import Embedder, Vector
from database.knowledge.documents import DocumentRepository
from database.session import Sessions
from domain.errors import UnavailableError
from domain.knowledge.documents import Memory, Passage

# Reason: what Chroma still has of documents that are deleted or not ready yet is left out after.
SPARE_COUNT = 20
# Reason: somebody waits for a search; what takes longer counts as down. A small model may have to
# be loaded first.
EMBED_SECONDS = 10.0
SEARCH_SECONDS = 5.0


class KnowledgeSearch:
    """Searches by meaning; PostgreSQL has the last word on which documents there are."""

    def __init__(self, chroma: Chroma, embedder: Embedder, sessions: Sessions) -> None:
        self._chroma = chroma
        self._embedder = embedder
        self._sessions = sessions

    async def search_documents(self, user_id: UUID, query: str, limit: int) -> list[Passage]:
        """Find passages of a user's documents that are ready, the best first; see its two halves.

        Raises:
            UnavailableError: Chroma, or the embedding model, is down.
        """
        return await self.passages_near(user_id, await self.vector_of(query), limit)

    async def search_memories(self, user_id: UUID, query: str, limit: int) -> list[Memory]:
        """Find what an agent remembers of a user, the best first; see its two halves.

        Raises:
            UnavailableError: Chroma, or the embedding model, is down.
        """
        return await self.memories_near(user_id, await self.vector_of(query), limit)

    async def vector_of(self, query: str) -> Vector:
        """Return the vector of what somebody looks for.

        Raises:
            UnavailableError: The embedding model is down, or too slow to be waited for.
            ProviderRejectedError: It refuses this text, however much it is shortened.
        """
        async with _within(EMBED_SECONDS, "the embedding model", "embeddings_unavailable"):
            [vector] = await self._embedder.embed([query])
        return vector

    async def passages_near(self, user_id: UUID, vector: Vector, limit: int) -> list[Passage]:
        """Find passages of a user's documents that are ready.

        Args:
            user_id: Whose documents.
            vector: Of what to look for.
            limit: Passages at the most.

        Returns:
            The passages, the best first.

        Raises:
            UnavailableError: Chroma is down, or too slow to be waited for.
        """
        found = await self._near(ChromaCollection.PASSAGES, user_id, vector, limit + SPARE_COUNT)
        ids = {UUID(str(each.metadata["document_id"])) for each in found}
        async with self._sessions() as session:
            titles = await DocumentRepository(session).ready_titles(user_id, ids)
        passages = [
            Passage(
                document_id=document_id,
                title=titles[document_id],
                chunk_index=int(each.metadata["chunk_index"]),
                text=each.text,
                score=each.score,
            )
            for each in found
            if (document_id := UUID(str(each.metadata["document_id"]))) in titles
        ]
        return passages[:limit]

    async def memories_near(self, user_id: UUID, vector: Vector, limit: int) -> list[Memory]:
        """Find what an agent remembers of a user.

        Args:
            user_id: Whose memories.
            vector: Of what to look for.
            limit: Memories at the most.

        Returns:
            The memories, the best first.

        Raises:
            UnavailableError: Chroma is down, or too slow to be waited for.
        """
        found = await self._near(ChromaCollection.MEMORIES, user_id, vector, limit)
        return [read_memory(each, each.score) for each in found]

    async def remember(
        self,
        user_id: UUID,
        memory_id: UUID,
        text: str,
        conversation_id: UUID | None,
        agent_run_id: UUID | None,
        created_at: datetime,
    ) -> None:
        """Keep something in mind; the same id is kept once.

        Args:
            user_id: Whose memory it is.
            memory_id: The same for the same memory.
            text: What to remember.
            conversation_id: Where it was said.
            agent_run_id: In which run.
            created_at: When.

        Raises:
            UnavailableError: Chroma, or the embedding model, is down.
        """
        [vector] = await self._embedder.embed([text])
        metadata = {"user_id": str(user_id), "created_at": created_at.isoformat()}
        if conversation_id is not None:
            metadata["conversation_id"] = str(conversation_id)
        if agent_run_id is not None:
            metadata["agent_run_id"] = str(agent_run_id)
        entry = Entry(str(memory_id), vector, text, metadata)
        await self._chroma.put(ChromaCollection.MEMORIES, self._embedder.model, [entry])

    async def _near(
        self,
        shelf: ChromaCollection,
        user_id: UUID,
        vector: Vector,
        limit: int,
    ) -> list[Found]:
        model = self._embedder.model
        async with _within(SEARCH_SECONDS, "Chroma", "chroma_unavailable"):
            return await self._chroma.search(shelf, model, vector, str(user_id), limit)


@asynccontextmanager
async def _within(seconds: float, what: str, code: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UnavailableError(f"{what} does not answer in time", code) from error


def read_memory(found: Found, score: float | None) -> Memory:
    """Make a memory of what Chroma has of it."""
    return Memory(
        memory_id=UUID(found.entry_id),
        text=found.text,
        score=score,
        **{key: value for key, value in found.metadata.items() if key != "user_id"},
    )
