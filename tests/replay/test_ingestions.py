"""Ingestions, recorded and replayed."""

from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from database.accounts.users import UserRepository
from database.knowledge.documents import DocumentRepository
from database.session import Sessions
from domain.ids import ingest_workflow_id
from domain.knowledge.documents import IngestOutcome, IngestStart
from domain.workflow_names import AGENTS
from tests.support.histories import keep
from workflows.knowledge.ingest_document import IngestDocumentWorkflow


@pytest.mark.usefixtures("chroma_url")
@pytest.mark.parametrize(
    ("name", "content", "source_url"),
    [
        ("ready", "# Trams\n\nTrams are blue.", None),
        ("failed", None, "http://127.0.0.1/secret"),
    ],
)
async def test_an_ingestion_can_be_recorded_and_replayed(
    name: str,
    content: str | None,
    source_url: str | None,
    workers: Client,
    sessions: Sessions,
    histories: Path,
) -> None:
    """With `--record` their histories replace the committed ones."""
    user_id, document_id = uuid4(), uuid4()
    async with sessions.begin() as session:
        await UserRepository(session).add(user_id, f"{user_id.hex}@example.com")
        await DocumentRepository(session).add(
            document_id,
            user_id,
            title=name,
            content=content,
            source_url=source_url,
            metadata_data={},
            document_status="pending",
            workflow_id=ingest_workflow_id(document_id),
        )
    handle = await workers.start_workflow(
        IngestDocumentWorkflow.run,
        IngestStart(document_id=document_id),
        id=ingest_workflow_id(document_id),
        task_queue=AGENTS,
    )
    outcome = await handle.result()
    stored = IngestOutcome(document_id=document_id, chunk_count=1)
    assert outcome == (stored if content else None)
    await keep(handle, histories / f"ingest-document-{name}.json")
