"""A document's passages in Chroma: cut, embedded, stored once, and taken away."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from activities.library_desk import of_document
from adapters.chroma import Chroma, Entry, Shelf
from adapters.embeddings import Embedder
from agents.guards import screen
from database.agent_models import Document
from database.documents import DocumentRepository
from database.session import Sessions
from domain.documents import PASSAGE_PIECES, Chunk, IngestOutcome, split_text
from domain.errors import ApplicationError

log = structlog.get_logger(__name__)

BATCH_SIZE = 16
# Reason: a title tells what a passage is about, but a long one would leave no room for it.
TITLE_PIECES = 48


class PassageStore:
    """Writes and removes the passages of one document at a time."""

    def __init__(self, chroma: Chroma, embedder: Embedder, sessions: Sessions) -> None:
        self._chroma = chroma
        self._embedder = embedder
        self._sessions = sessions

    async def store(self, row: Document, content: str) -> IngestOutcome:
        """Store a document's passages; those that are stored already are not embedded again.

        Args:
            row: The document.
            content: Its text.

        Returns:
            What is stored.

        Raises:
            UnavailableError: Chroma, or the embedding model, is down.
            ProviderRejectedError: One of them refuses this text; nothing of it stays stored.
        """
        title, chunks = await asyncio.to_thread(_cut, row.title, content, self._embedder)
        suspicions = await asyncio.to_thread(screen, f"{row.title}\n{content}")
        if suspicions:
            log.warning("document_suspicious", document_id=str(row.document_id), named=suspicions)
        try:
            await self._store_missing(row, title, chunks)
        except ApplicationError as error:
            if not error.is_retryable:
                await self.remove(row.document_id)
            raise
        return IngestOutcome(
            document_id=row.document_id,
            chunk_count=len(chunks),
            suspicions=suspicions,
        )

    async def remove(self, document_id: UUID) -> None:
        """Remove a document's passages.

        Raises:
            UnavailableError: Chroma is down.
        """
        await self._chroma.delete(Shelf.PASSAGES, of_document(document_id))

    async def _store_missing(self, row: Document, title: str, chunks: Sequence[Chunk]) -> None:
        model, where = self._embedder.model, of_document(row.document_id)
        known = {entry.entry_id for entry in await self._chroma.list(Shelf.PASSAGES, where, model)}
        names = [(f"{row.document_id}:{index}", index) for index in range(len(chunks))]
        missing = [(name, index) for name, index in names if name not in known]
        owner = {"user_id": str(row.user_id), "document_id": str(row.document_id)}
        for start in range(0, len(missing), BATCH_SIZE):
            if await self._is_deleted(row.document_id):
                return
            batch = missing[start : start + BATCH_SIZE]
            texts = [f"{title}\n\n{chunks[index].text}".strip() for _, index in batch]
            vectors = await self._embedder.embed(texts)
            entries = [
                Entry(name, vector, chunks[index].text, {**owner, "chunk_index": index})
                for (name, index), vector in zip(batch, vectors, strict=True)
            ]
            await self._chroma.put(Shelf.PASSAGES, model, entries)

    async def _is_deleted(self, document_id: UUID) -> bool:
        async with self._sessions() as session:
            return await DocumentRepository(session).get(document_id, None) is None


def _cut(title: str, content: str, embedder: Embedder) -> tuple[str, list[Chunk]]:
    """Return the title as far as it is embedded with each passage, and the passages."""
    used = sum(embedder.count_pieces(title.split()))
    if used > TITLE_PIECES:
        title, used = "", 0
    return title, split_text(content, embedder.count_pieces, PASSAGE_PIECES - used)
