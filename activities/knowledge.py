"""The activities of a document's ingestion; each is idempotent."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity

from adapters.web_fetcher import PageFetcher
from database.knowledge.documents import DocumentRepository
from database.knowledge.models import Document
from database.session import Sessions
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.documents import (
    DocumentStatus,
    IngestFailure,
    IngestOutcome,
    IngestStart,
)
from domain.knowledge.files import address_title
from services.knowledge.files import FileReader
from services.knowledge.passages import PassageStore

# Reason: a page that is unreachable for this long makes the ingestion fail.
FETCH_PATIENCE = timedelta(minutes=5)
# Reason: an outage may last a night, but a document must not wait forever.
STORE_PATIENCE = timedelta(hours=6)
# Reason: shorter than the activity's timeout, so that an attempt ends with its own error and the
# next attempt goes on.
STORE_SECONDS = 25 * 60


class DocumentActivities:
    """The activities that fetch, store, finish and fail documents."""

    def __init__(
        self,
        passages: PassageStore,
        fetcher: PageFetcher,
        files: FileReader,
        sessions: Sessions,
    ) -> None:
        self._passages, self._fetcher = passages, fetcher
        self._files, self._sessions = files, sessions

    @activity.defn
    async def fetch_document(self, start: IngestStart) -> None:
        """Fetch a document that was given by its URL; other documents have their content already.

        Args:
            start: Document to fetch.

        Raises:
            InvalidInputError: The file cannot be read, or its server has not answered for long.
            UnavailableError: The server does not answer now, or other documents come first.
        """
        row = await self._pending(start.document_id)
        if row is None or row.content is not None or row.source_url is None:
            return
        try:
            fetched = await self._fetcher.fetch(row.source_url)
        except UnavailableError as error:
            if datetime.now(UTC) - activity.info().scheduled_time < FETCH_PATIENCE:
                raise
            raise InvalidInputError(error.message, error.error_code) from error
        found = await self._files.read(fetched.file)
        # Reason: who gave no title gets that of the file; until then its address stands there.
        is_given = row.title != address_title(row.source_url)
        title = row.title if is_given else found.title or row.title
        async with self._sessions.begin() as session:
            documents = DocumentRepository(session)
            await documents.change_pending(start.document_id, content=found.text, title=title)

    @activity.defn
    async def store_passages(self, start: IngestStart) -> IngestOutcome:
        """Split a document and store its passages with their embeddings; resumes partial work.

        Args:
            start: Document to store.

        Returns:
            What was stored.

        Raises:
            UnavailableError: Chroma or the embedding model is down, or other documents come first.
            InvalidInputError: There are too many passages, or storing has failed for long.
            ProviderRejectedError: Chroma or the embedding model refuses the text; no passage stays.
        """
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._store(start.document_id)
        except (UnavailableError, TimeoutError) as error:
            if datetime.now(UTC) - activity.info().scheduled_time >= STORE_PATIENCE:
                raise _timed_out(error) from error
            if isinstance(error, UnavailableError):
                raise
            raise UnavailableError("storing the document takes long", "document_slow") from error

    @activity.defn
    async def finish_document(self, outcome: IngestOutcome) -> None:
        """Mark a document as ready; if it was deleted meanwhile, remove its passages.

        Args:
            outcome: What was stored.

        Raises:
            UnavailableError: Chroma is down.
        """
        async with self._sessions.begin() as session:
            documents = DocumentRepository(session)
            await documents.change_pending(
                outcome.document_id,
                document_status=DocumentStatus.READY,
                chunk_count=outcome.chunk_count,
                is_suspicious=bool(outcome.suspicions),
                ingested_at=datetime.now(UTC),
            )
            row = await documents.get(outcome.document_id, None)
        if row is None:
            # Reason: the document may have been deleted before its last passages were stored.
            await self._passages.remove(outcome.document_id)

    @activity.defn
    async def fail_document(self, failure: IngestFailure) -> None:
        """Mark a document as failed.

        Args:
            failure: Document, and the error.
        """
        async with self._sessions.begin() as session:
            await DocumentRepository(session).change_pending(
                failure.document_id,
                document_status=DocumentStatus.FAILED,
                error_code=failure.code,
                error_message=failure.message,
            )

    async def _store(self, document_id: UUID) -> IngestOutcome:
        async with self._sessions() as session:
            document = await DocumentRepository(session).get(document_id, None)
        if document is not None:
            # Reason: a waiting document is retried often; its content must not be read each time.
            self._passages.limiter.check(document.user_id)
        row = await self._pending(document_id)
        if row is None or row.content is None:
            return IngestOutcome(document_id=document_id, chunk_count=0)
        return await self._passages.store(row, row.content)

    async def _pending(self, document_id: UUID) -> Document | None:
        async with self._sessions() as session:
            return await DocumentRepository(session).get_pending(document_id)


def _timed_out(error: UnavailableError | TimeoutError) -> InvalidInputError:
    hours = STORE_PATIENCE // timedelta(hours=1)
    why = f": {error.message}" if isinstance(error, UnavailableError) else ""
    message = f"the document could not be stored within {hours} hours{why}"
    return InvalidInputError(message, "document_timed_out")
