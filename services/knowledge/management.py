"""Lists memories, and deletes documents and memories, on request of the API."""

from datetime import datetime
from uuid import UUID

from adapters.chroma.client import Chroma, ChromaCollection
from database.knowledge.documents import DocumentRepository
from database.paging import Page, decode_cursor, encode_cursor
from database.session import Sessions
from domain.knowledge.documents import Memory
from services.knowledge.search import read_memory


class KnowledgeManager:
    """Manages documents and memories; needs no embedding model."""

    def __init__(self, chroma: Chroma, sessions: Sessions) -> None:
        self._chroma = chroma
        self._sessions = sessions

    async def delete_document(self, document_id: UUID, user_id: UUID | None) -> bool:
        """Delete a document for good.

        The document is hidden first. If Chroma is down then, repeating the call deletes the rest.

        Args:
            document_id: Document to delete.
            user_id: Owner of the document; None for any owner.

        Returns:
            Whether the document existed.

        Raises:
            UnavailableError: Chroma is down.
        """
        async with self._sessions.begin() as session:
            if not await DocumentRepository(session).soft_delete(document_id, user_id):
                return False
        await self._chroma.delete(ChromaCollection.PASSAGES, of_document(document_id))
        async with self._sessions.begin() as session:
            await DocumentRepository(session).purge_content(document_id)
        return True

    async def list_memories(self, user_id: UUID, limit: int, cursor: str | None) -> Page[Memory]:
        """Return one page of a user's memories, newest first.

        Args:
            user_id: Owner of the memories.
            limit: Highest number of memories to return.
            cursor: `next_cursor` of the previous page.

        Returns:
            The memories, and the cursor of the next page.

        Raises:
            InvalidInputError: The cursor is malformed.
            UnavailableError: Chroma is down.
        """
        # Reason: Chroma cannot sort; all ids and dates of a user are smaller than one long text.
        where = {"where": {"user_id": str(user_id)}}
        memories = [
            read_memory(entry, None)
            for entry in await self._chroma.list(ChromaCollection.MEMORIES, where)
        ]
        memories.sort(key=_sort_key, reverse=True)
        if cursor is not None:
            before = decode_cursor(cursor)
            memories = [memory for memory in memories if _sort_key(memory) < before]
        page = memories[:limit]
        if not page:
            return Page([], None)
        ids = {"ids": [str(memory.memory_id) for memory in page]}
        found = await self._chroma.list(ChromaCollection.MEMORIES, ids, has_text=True)
        texts = {entry.entry_id: read_memory(entry, None) for entry in found}
        # Reason: a memory may have been deleted between the two reads.
        items = [texts[key] for memory in page if (key := str(memory.memory_id)) in texts]
        return Page(items, encode_cursor(*_sort_key(page[-1])) if len(memories) > limit else None)

    async def forget_memory(self, memory_id: UUID, user_id: UUID | None) -> bool:
        """Delete a memory.

        Args:
            memory_id: Memory to delete.
            user_id: Owner of the memory; None for any owner.

        Returns:
            Whether the memory existed.

        Raises:
            UnavailableError: Chroma is down.
        """
        ids = {"ids": [str(memory_id)]}
        owners = {
            entry.metadata["user_id"]
            for entry in await self._chroma.list(ChromaCollection.MEMORIES, ids)
        }
        if not owners or (user_id is not None and owners != {str(user_id)}):
            return False
        await self._chroma.delete(ChromaCollection.MEMORIES, ids)
        return True


def of_document(document_id: UUID) -> dict[str, dict[str, str]]:
    """Return the Chroma filter for the passages of a document."""
    return {"where": {"document_id": str(document_id)}}


def _sort_key(memory: Memory) -> tuple[datetime, UUID]:
    return memory.created_at, memory.memory_id
