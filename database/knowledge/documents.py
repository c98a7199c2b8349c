"""Repository of documents; the caller owns the transaction."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Update, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import defer

from database.knowledge.models import Document
from database.repository import OwnedRepository
from domain.knowledge.documents import DocumentStatus

# Reason: the content can have a megabyte, and only the ingestion reads it.
_WITHOUT_CONTENT = defer(Document.content, raiseload=True)


class DocumentRepository(OwnedRepository[Document]):
    """Reads and writes `documents` within one session; deleted documents are not returned."""

    table = Document

    @classmethod
    def _all(cls) -> Select[Document]:
        live = select(Document).where(Document.deleted_at.is_(None))
        return live.options(_WITHOUT_CONTENT)

    async def add(self, document_id: UUID, user_id: UUID, **values: Any) -> None:
        """Store a new document, unless it is already stored."""
        statement = insert(Document).values(document_id=document_id, user_id=user_id, **values)
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["document_id"]),
        )

    async def get_pending(self, document_id: UUID) -> Document | None:
        """Return a pending document with its content, or None."""
        return await self._session.scalar(
            select(Document).where(
                Document.document_id == document_id,
                Document.document_status == DocumentStatus.PENDING,
                Document.deleted_at.is_(None),
            ),
        )

    async def ready_titles(
        self,
        user_id: UUID,
        document_ids: Collection[UUID],
    ) -> dict[UUID, str]:
        """Return the titles of a user's ready documents, among these ids."""
        rows = await self._session.execute(
            select(Document.document_id, Document.title).where(
                Document.document_id.in_(document_ids),
                Document.user_id == user_id,
                Document.document_status == DocumentStatus.READY,
                Document.deleted_at.is_(None),
            ),
        )
        return {row.document_id: row.title for row in rows}

    async def change_pending(self, document_id: UUID, **values: Any) -> bool:
        """Change some columns of a pending document.

        Returns:
            False if the document is not pending any more or was deleted.
        """
        statement = _of(document_id).where(
            Document.document_status == DocumentStatus.PENDING,
            Document.deleted_at.is_(None),
        )
        return await self._has_changed(statement.values(**values))

    async def soft_delete(self, document_id: UUID, user_id: UUID | None) -> bool:
        """Mark a document of this owner as deleted, so that it is not returned any more.

        Returns:
            Whether the document, or the content of a deleted one, is still to be deleted.
        """
        has_rest = or_(Document.deleted_at.is_(None), Document.content.is_not(None))
        statement = _of(document_id).where(has_rest)
        if user_id is not None:
            statement = statement.where(Document.user_id == user_id)
        gone_at = func.coalesce(Document.deleted_at, func.now())
        return await self._has_changed(statement.values(deleted_at=gone_at))

    async def purge_content(self, document_id: UUID) -> None:
        """Remove the content of a deleted document."""
        statement = _of(document_id).where(Document.deleted_at.is_not(None))
        await self._session.execute(statement.values(content=None))

    async def _has_changed(self, statement: Update) -> bool:
        changed = await self._session.scalar(statement.returning(Document.document_id))
        return changed is not None


def _of(document_id: UUID) -> Update:
    return update(Document).where(Document.document_id == document_id)
