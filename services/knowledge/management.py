"""What people may do about documents and memories without an agent: look, and take away."""

from datetime import datetime
from uuid import UUID

from adapters.chroma import Chroma, ChromaCollection
from database.knowledge.documents import DocumentRepository
from database.paging import Page, decode_cursor, encode_cursor
from database.session import Sessions
from domain.knowledge.documents import Memory
from services.knowledge.search import read_memory


class KnowledgeManager:
    """Needs no embedding model."""

    def __init__(self, chroma: Chroma, sessions: Sessions) -> None:
        self._chroma = chroma
        self._sessions = sessions

    async def delete_document(self, document_id: UUID, user_id: UUID | None) -> bool:
        """Remove a document of this owner for good; None removes anybody's.

        It is hidden first. If Chroma is down then, the same call again takes away the rest.

        Args:
            document_id: Which.
            user_id: Whose; None for anybody's.

        Returns:
            Whether there was anything of it.

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
            user_id: Whose.
            limit: Memories at the most.
            cursor: `next_cursor` of the page before.

        Returns:
            The memories, and where the next ones begin.

        Raises:
            InvalidInputError: The cursor is malformed.
            UnavailableError: Chroma is down.
        """
        # Reason: Chroma orders nothing; all of a user's dates and ids are less than one long text.
        where = {"where": {"user_id": str(user_id)}}
        known = [
            read_memory(each, None)
            for each in await self._chroma.list(ChromaCollection.MEMORIES, where)
        ]
        known.sort(key=_place, reverse=True)
        if cursor is not None:
            before = decode_cursor(cursor)
            known = [each for each in known if _place(each) < before]
        page = known[:limit]
        if not page:
            return Page([], None)
        ids = {"ids": [str(each.memory_id) for each in page]}
        found = await self._chroma.list(ChromaCollection.MEMORIES, ids, has_text=True)
        texts = {each.entry_id: read_memory(each, None) for each in found}
        # Reason: what was taken away in between is not there any more.
        items = [texts[key] for each in page if (key := str(each.memory_id)) in texts]
        return Page(items, encode_cursor(*_place(page[-1])) if len(known) > limit else None)

    async def forget_memory(self, memory_id: UUID, user_id: UUID | None) -> bool:
        """Remove a memory of this owner; None removes anybody's.

        Args:
            memory_id: Which.
            user_id: Whose; None for anybody's.

        Returns:
            Whether there was one.

        Raises:
            UnavailableError: Chroma is down.
        """
        ids = {"ids": [str(memory_id)]}
        owners = {
            each.metadata["user_id"]
            for each in await self._chroma.list(ChromaCollection.MEMORIES, ids)
        }
        if not owners or (user_id is not None and owners != {str(user_id)}):
            return False
        await self._chroma.delete(ChromaCollection.MEMORIES, ids)
        return True


def of_document(document_id: UUID) -> dict[str, dict[str, str]]:
    """Return what in Chroma belongs to a document."""
    return {"where": {"document_id": str(document_id)}}


def _place(memory: Memory) -> tuple[datetime, UUID]:
    return memory.created_at, memory.memory_id
