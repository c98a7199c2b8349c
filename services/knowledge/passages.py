"""A document's passages in Chroma: cut, embedded, stored once, and taken away."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from adapters.chroma import Chroma, ChromaCollection, Entry
from adapters.embeddings import Embedder
from agents.guards import screen
from database.knowledge.documents import DocumentRepository
from database.knowledge.models import Document
from database.session import Sessions
from domain.errors import ApplicationError, UnavailableError
from domain.knowledge.chunking import PASSAGE_PIECES, Chunk, check_passage_count, split_text
from domain.knowledge.documents import IngestOutcome
from services.knowledge.management import of_document

log = structlog.get_logger(__name__)

BATCH_SIZE = 16
# Reason: a title tells what a passage is about, but a long one would leave no room for it.
TITLE_PIECES = 48


# Reason: what waits holds a place among the activities of this process, which look-ups need too.
INGESTIONS_PER_USER = 3
INGESTIONS_AT_ONCE = 24
CUTS_AT_ONCE = 4

Answer = TypeVar("Answer")


class FairTurns:
    """Shares the work between users: one piece of work of each at a time, in turn."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._counts: Counter[UUID] = Counter()
        # Reason: one user has one piece of work at a time, so a small document seldom waits here.
        self._threads = ThreadPoolExecutor(CUTS_AT_ONCE, thread_name_prefix="documents")

    def check(self, user_id: UUID) -> None:
        """Let nothing begin while there is enough under way.

        Raises:
            UnavailableError: It is in line.
        """
        is_full = self._counts.total() >= INGESTIONS_AT_ONCE
        if is_full or self._counts[user_id] >= INGESTIONS_PER_USER:
            raise UnavailableError("other documents come first", "document_in_line")

    @contextmanager
    def ingesting(self, user_id: UUID) -> Iterator[asyncio.Lock]:
        """Count an ingestion while it is under way.

        Yields:
            What to hold for each piece of its work.

        Raises:
            UnavailableError: There are enough under way; it is in line.
        """
        self.check(user_id)
        self._counts[user_id] += 1
        try:
            yield self._locks.setdefault(user_id, asyncio.Lock())
        finally:
            self._counts[user_id] -= 1
            if not self._counts[user_id]:
                del self._counts[user_id]

    async def compute(self, work: Callable[..., Answer], *given: object) -> Answer:
        """Do what only computes beside the event loop, and beside the threads that all share."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)


class PassageStore:
    """Writes and removes the passages of one document at a time."""

    def __init__(self, chroma: Chroma, embedder: Embedder, sessions: Sessions) -> None:
        self._chroma = chroma
        self._embedder = embedder
        self._sessions = sessions
        self.turns = FairTurns()

    async def store(self, row: Document, content: str) -> IngestOutcome:
        """Store a document's passages; those that are stored already are not embedded again.

        Args:
            row: The document.
            content: Its text.

        Returns:
            What is stored.

        Raises:
            UnavailableError: Chroma, or the embedding model, is down, or others come first.
            InvalidInputError: It makes too many passages.
            ProviderRejectedError: One of them refuses this text; nothing of it stays stored.
        """
        with self.turns.ingesting(row.user_id) as turn:
            async with turn:
                compute = self.turns.compute
                title, chunks = await compute(_cut, row.title, content, self._embedder)
                suspicions = await compute(screen, f"{row.title}\n{content}")
            if suspicions:
                facts = {"document_id": str(row.document_id), "named": suspicions}
                log.warning("document_suspicious", **facts)
            try:
                await self._store_missing(row, title, chunks, turn)
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
        await self._chroma.delete(ChromaCollection.PASSAGES, of_document(document_id))

    async def _store_missing(
        self,
        row: Document,
        title: str,
        chunks: Sequence[Chunk],
        turn: asyncio.Lock,
    ) -> None:
        model, where = self._embedder.model, of_document(row.document_id)
        known = {
            entry.entry_id
            for entry in await self._chroma.list(ChromaCollection.PASSAGES, where, model)
        }
        names = [(f"{row.document_id}:{index}", index) for index in range(len(chunks))]
        missing = [(name, index) for name, index in names if name not in known]
        owner = {"user_id": str(row.user_id), "document_id": str(row.document_id)}
        for start in range(0, len(missing), BATCH_SIZE):
            if await self._is_deleted(row.document_id):
                return
            batch = missing[start : start + BATCH_SIZE]
            texts = [f"{title}\n\n{chunks[index].text}".strip() for _, index in batch]
            async with turn:
                vectors = await self._embedder.embed(texts)
            entries = [
                Entry(name, vector, chunks[index].text, {**owner, "chunk_index": index})
                for (name, index), vector in zip(batch, vectors, strict=True)
            ]
            await self._chroma.put(ChromaCollection.PASSAGES, model, entries)

    async def _is_deleted(self, document_id: UUID) -> bool:
        async with self._sessions() as session:
            return await DocumentRepository(session).get(document_id, None) is None


def _cut(title: str, content: str, embedder: Embedder) -> tuple[str, list[Chunk]]:
    """Return the title as far as it is embedded with each passage, and the passages.

    Raises:
        InvalidInputError: There are too many.
    """
    used = sum(embedder.count_pieces(title.split()))
    if used > TITLE_PIECES:
        title, used = "", 0
    chunks = split_text(content, embedder.count_pieces, PASSAGE_PIECES - used)
    check_passage_count(len(chunks))
    return title, chunks
