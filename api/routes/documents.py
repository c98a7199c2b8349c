"""Routes for documents that agents answer from."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi.responses import JSONResponse
from starlette.convertors import StringConvertor, register_url_convertor
from temporalio.client import Client

from adapters.temporal.calls import start_workflow_once
from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep, SettingsDep, TemporalDep
from api.http.card_guard import masked
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.knowledge import KnowledgeDep
from api.lookup import or_404, resolve_user_id
from api.openapi.examples import answer
from api.openapi.problems import (
    CHROMA_DOWN,
    DOCUMENT_IN_LINE,
    TEMPORAL_DOWN,
    no_such,
    problems,
)
from api.schemas.common import Listing
from api.schemas.documents import NEW_DOCUMENT_EXAMPLE, DocumentOut, NewDocument
from api.uploads import Upload, UploadDep
from database.knowledge.documents import DocumentRepository
from database.knowledge.models import Document
from database.session import Sessions
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import ingest_workflow_id
from domain.knowledge.documents import BYTE_ORDER_MARK, DocumentStatus, IngestStart, check_text
from domain.knowledge.files import address_title
from domain.workflow_names import AGENTS
from services.knowledge.files import FileReader
from workflows.knowledge.ingest_document import IngestDocumentWorkflow
from workflows.search_attributes import starting_attributes

router = ApiRouter(prefix="/documents", tags=["documents"])


class _NotUpload(StringConvertor):
    """Matches ids, so that the path of the upload has no methods but its own."""

    regex = "(?!upload$)[^/]+"


register_url_convertor("document_id", _NotUpload())


@router.post(
    "",
    status_code=202,
    response_model=DocumentOut,
    responses=answer(202, NEW_DOCUMENT_EXAMPLE) | problems(no_such("user"), TEMPORAL_DOWN),
)
async def ingest_document(
    body: NewDocument,
    caller: CallerDep,
    settings: SettingsDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Ingest a document. It becomes `ready`, or `failed` with the reason."""
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> DocumentOut:
        values = await _values_of(body, settings.documents.max_bytes)
        await _insert(sessions, claim.resource_id, user_id, values)
        await _start(temporal, claim.resource_id, user_id)
        return DocumentOut.of(await _read(sessions, claim.resource_id, user_id))

    return await once.run(caller.user_id, work, status=202, location="document_id")


@router.post(
    "/upload",
    status_code=202,
    response_model=DocumentOut,
    responses=answer(202, NEW_DOCUMENT_EXAMPLE)
    | problems(no_such("user"), TEMPORAL_DOWN, DOCUMENT_IN_LINE),
)
async def upload_document(
    upload: UploadDep,
    caller: CallerDep,
    knowledge: KnowledgeDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Upload a file of plain text, Markdown, HTML or a PDF, and ingest its text.

    The file itself is not kept. If it cannot be read, the document is `failed` with the reason.
    """
    user_id = await resolve_user_id(sessions, caller, upload.user_id)

    async def work(claim: Claim) -> DocumentOut:
        values = await _values_in(upload, knowledge.files)
        await _insert(sessions, claim.resource_id, user_id, values)
        await _start(temporal, claim.resource_id, user_id)
        return DocumentOut.of(await _read(sessions, claim.resource_id, user_id))

    # Reason: a repeated form has other borders between its fields.
    once = replace(once, body=await asyncio.to_thread(upload.fingerprint))
    return await once.run(caller.user_id, work, status=202, location="document_id")


@router.get("", responses=problems(no_such("user")))
async def list_documents(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    document_status: DocumentStatus | None = None,
) -> Listing[DocumentOut]:
    """List documents, newest first."""
    async with sessions() as session:
        page = await DocumentRepository(session).list(
            scope,
            paging.limit,
            paging.cursor,
            {"document_status": document_status},
        )
    return Listing[DocumentOut].of(page, DocumentOut.of)


@router.get("/{document_id:document_id}", responses=problems(no_such("document")))
async def get_document(
    document_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
) -> DocumentOut:
    """Return the current state of a document, without its content."""
    return DocumentOut.of(await _read(sessions, document_id, caller.scope))


@router.delete(
    "/{document_id:document_id}",
    status_code=204,
    responses=problems(no_such("document"), CHROMA_DOWN),
)
async def delete_document(document_id: UUID, caller: CallerDep, knowledge: KnowledgeDep) -> None:
    """Delete a document, its passages and its content. After a 503, repeat the request."""
    if not await knowledge.manager.delete_document(document_id, caller.scope):
        raise NotFoundError("there is no such document")


async def _values_of(body: NewDocument, max_bytes: int) -> dict[str, Any]:
    """Return the columns of a document that was given by its content or address."""
    url = str(body.url) if body.url else None
    title = body.title or masked(address_title(url or ""))
    values = {"title": title, "source_url": url, "metadata_data": body.metadata}
    if body.content is None:
        return values
    # Reason: the mark is not part of the text, and would hide a heading after it.
    content = body.content.removeprefix(BYTE_ORDER_MARK)
    try:
        check_text(content, max_bytes)
    except InvalidInputError as error:
        return values | _failure(error)
    # Reason: scanning a long text would block the event loop.
    return values | {"content": await asyncio.to_thread(masked, content)}


async def _values_in(upload: Upload, files: FileReader) -> dict[str, Any]:
    """Return the columns of a document that was uploaded as a file.

    Raises:
        UnavailableError: Other files come first.
    """
    values = {"title": upload.title or masked(upload.name), "metadata_data": {}}
    try:
        found = await files.read(upload.file)
    except InvalidInputError as error:
        return values | _failure(error)
    return values | {
        "title": upload.title or found.title or values["title"],
        "content": found.text,
    }


def _failure(error: InvalidInputError) -> dict[str, Any]:
    # Reason: content that cannot be read is not stored.
    return {
        "document_status": DocumentStatus.FAILED,
        "error_code": error.error_code,
        "error_message": error.message,
    }


async def _insert(
    sessions: Sessions, document_id: UUID, user_id: UUID, values: dict[str, Any]
) -> None:
    # Reason: elsewhere the workflow's first step inserts the row. Here the POST does, before it
    # starts the workflow, because the content must be in the database and never in a workflow's
    # history. An interrupted POST continues under the same key, with the same ids.
    status = {"document_status": DocumentStatus.PENDING}
    async with sessions.begin() as session:
        await DocumentRepository(session).add(
            document_id,
            user_id,
            **(status | values),
            workflow_id=ingest_workflow_id(document_id),
        )


async def _start(temporal: Client, document_id: UUID, user_id: UUID) -> None:
    await start_workflow_once(
        temporal,
        IngestDocumentWorkflow.run,
        IngestStart(document_id=document_id),
        workflow_id=ingest_workflow_id(document_id),
        summary=f"ingest document {document_id}, user {user_id}",
        search_attributes=starting_attributes(user_id=user_id),
        task_queue=AGENTS,
    )


async def _read(sessions: Sessions, document_id: UUID, user_id: UUID | None) -> Document:
    async with sessions() as session:
        row = await DocumentRepository(session).get(document_id, user_id)
    return or_404(row, "document")
