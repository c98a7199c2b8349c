"""Stores a document's passages in Chroma: splits, embeds, stores and removes them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from adapters.chroma.client import Chroma, ChromaCollection, Entry
from adapters.embeddings import Embedder
from agents.guards import screen
from database.knowledge.documents import DocumentRepository
from database.knowledge.models import Document
from database.session import Sessions
from domain.errors import ApplicationError, UnavailableError
from domain.knowledge.chunking import PASSAGE_PIECES, Chunk, check_passage_count, split_text
from domain.knowledge.documents import IngestOutcome
from domain.knowledge.files import page_of
from services.knowledge.management import of_document

log = structlog.get_logger(__name__)

BATCH_SIZE = 16
# Reason: a title tells what a passage is about, but a long title leaves no room for the passage.
TITLE_PIECES = 48


# Reason: a waiting ingestion occupies an activity slot of this process, and look-ups need slots.
INGESTIONS_PER_USER = 3
INGESTIONS_AT_ONCE = 24
CUTS_AT_ONCE = 4

Answer = TypeVar("Answer")


class IngestionLimiter:
    """Shares ingestion between users: one piece of work per user at a time, in turn."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._counts: Counter[UUID] = Counter()
        # Reason: each user has one piece of work at a time, so a small document seldom waits here.
        self._threads = ThreadPoolExecutor(CUTS_AT_ONCE, thread_name_prefix="documents")

    def check(self, user_id: UUID) -> None:
        """Raise an error while the limits of concurrent ingestions are reached.

        Raises:
            UnavailableError: The document has to wait.
        """
        is_full = self._counts.total() >= INGESTIONS_AT_ONCE
        if is_full or self._counts[user_id] >= INGESTIONS_PER_USER:
            raise UnavailableError("other documents come first", "document_in_line")

    @contextmanager
    def ingesting(self, user_id: UUID) -> Iterator[asyncio.Lock]:
        """Count an ingestion while it is under way.

        Yields:
            The user's lock, to be held during each piece of work.

        Raises:
            UnavailableError: The limits of concurrent ingestions are reached.
        """
        self.check(user_id)
        self._counts[user_id] += 1
        try:
            yield self._locks.setdefault(user_id, asyncio.Lock())
        finally:
            self._counts[user_id] -= 1
            if not self._counts[user_id]:
                del self._counts[user_id]

    async def compute(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """Run a pure computation in the threads for documents, apart from the shared threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class PassageStore:
    """Stores and removes the passages of documents."""

    def __init__(self, chroma: Chroma, embedder: Embedder, sessions: Sessions) -> None:
        self._chroma = chroma
        self._embedder = embedder
        self._sessions = sessions
        self.limiter = IngestionLimiter()

    async def store(self, row: Document, content: str) -> IngestOutcome:
        """Store a document's passages; passages that are stored already are not embedded again.

        Args:
            row: Row of the document.
            content: Text of the document.

        Returns:
            What was stored.

        Raises:
            UnavailableError: Chroma or the embedding model is down, or other documents come first.
            InvalidInputError: The document has too many passages.
            ProviderRejectedError: Chroma or the embedding model refuses the text; no passage stays.
        """
        with self.limiter.ingesting(row.user_id) as lock:
            async with lock:
                compute = self.limiter.compute
                passages = await compute(_cut, row.title, content, self._embedder)
                suspicions = await compute(screen, f"{row.title}\n{content}")
            if suspicions:
                facts = {"document_id": str(row.document_id), "named": suspicions}
                log.warning("document_suspicious", **facts)
            try:
                await self._store_missing(row, passages, lock)
            except ApplicationError as error:
                if not error.is_retryable:
                    await self.remove(row.document_id)
                raise
        return IngestOutcome(
            document_id=row.document_id,
            chunk_count=len(passages),
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
        passages: Sequence["_Passage"],
        lock: asyncio.Lock,
    ) -> None:
        model, where = self._embedder.model, of_document(row.document_id)
        stored_ids = {
            entry.entry_id
            for entry in await self._chroma.list(ChromaCollection.PASSAGES, where, model)
        }
        ids = [(f"{row.document_id}:{index}", index) for index in range(len(passages))]
        missing = [(entry_id, index) for entry_id, index in ids if entry_id not in stored_ids]
        owner = {"user_id": str(row.user_id), "document_id": str(row.document_id)}
        for start in range(0, len(missing), BATCH_SIZE):
            if await self._is_deleted(row.document_id):
                return
            batch = missing[start : start + BATCH_SIZE]
            async with lock:
                vectors = await self._embedder.embed([passages[index].meant for _, index in batch])
            entries = [
                Entry(
                    entry_id,
                    vector,
                    passages[index].text,
                    {**owner, "chunk_index": index, **passages[index].place},
                )
                for (entry_id, index), vector in zip(batch, vectors, strict=True)
            ]
            await self._chroma.put(ChromaCollection.PASSAGES, model, entries)

    async def _is_deleted(self, document_id: UUID) -> bool:
        async with self._sessions() as session:
            return await DocumentRepository(session).get(document_id, None) is None


class _Passage(NamedTuple):
    """A passage of a document.

    Args:
        meant: What is embedded: the passage with the title of its document.
        text: What is stored.
        place: Its page, for a document with pages.
    """

    meant: str
    text: str
    place: Mapping[str, int]


def _cut(title: str, content: str, embedder: Embedder) -> list[_Passage]:
    """Split a document into its passages.

    Raises:
        InvalidInputError: The document has too many passages.
    """
    used = sum(embedder.count_tokens(title.split()))
    if used > TITLE_PIECES:
        title, used = "", 0
    chunks = split_text(content, embedder.count_tokens, PASSAGE_PIECES - used)
    check_passage_count(len(chunks))
    return [
        _Passage(f"{title}\n\n{chunk.text}".strip(), chunk.text, _place(content, chunk))
        for chunk in chunks
    ]


def _place(content: str, chunk: Chunk) -> dict[str, int]:
    page = page_of(content, chunk.start)
    return {} if page is None else {"page_number": page}
