"""The workflow that ingests a document; the document's text never enters its history."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.knowledge import DocumentActivities
    from domain.knowledge.documents import IngestFailure, IngestOutcome, IngestStart
    from domain.workflow_names import TOOLS
    from workflows.activity_options import PATIENT, RECORD, ActivityOptions

FETCH: ActivityOptions = {
    "task_queue": TOOLS,
    # Reason: a server may take 45 s, and to read its file, 55 s.
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
STORE: ActivityOptions = {
    "task_queue": TOOLS,
    "start_to_close_timeout": timedelta(minutes=30),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}


@workflow.defn(name="IngestDocumentWorkflow")
class IngestDocumentWorkflow:
    """The workflow of one document; its id is `ingest-document-{document_id}`."""

    def __init__(self) -> None:
        self._failure_code: str | None = None

    @workflow.run
    async def run(self, start: IngestStart) -> IngestOutcome | None:
        """Ingest a document, and mark its row as ready or failed.

        Args:
            start: The document, whose row exists already.

        Returns:
            What was stored; None if the ingestion failed.
        """
        try:
            outcome = await self._ingest(start)
        except ActivityError as error:
            await self._fail(start, error)
            return None
        workflow.set_current_details(f"stored {outcome.chunk_count} passages")
        return outcome

    async def _ingest(self, start: IngestStart) -> IngestOutcome:
        await workflow.execute_activity_method(
            DocumentActivities.fetch_document,
            start,
            **FETCH,
            summary="fetch the document if it was given by its URL",
        )
        workflow.set_current_details("splitting, embedding and storing; waits while Chroma is down")
        outcome = await workflow.execute_activity_method(
            DocumentActivities.store_passages,
            start,
            **STORE,
            summary="split, embed and store",
        )
        await workflow.execute_activity_method(
            DocumentActivities.finish_document,
            outcome,
            **STORE,
            summary=f"ready, with {outcome.chunk_count} passages",
        )
        return outcome

    async def _fail(self, start: IngestStart, error: ActivityError) -> None:
        cause = error.cause
        if not isinstance(cause, ApplicationError) or cause.type is None:
            raise error
        self._failure_code = cause.type
        workflow.set_current_details(f"failed: {cause.message}")
        await workflow.execute_activity_method(
            DocumentActivities.fail_document,
            IngestFailure(document_id=start.document_id, code=cause.type, message=cause.message),
            **RECORD,
            summary=f"failed: {cause.type}",
        )

    def log_fields(self) -> dict[str, str]:
        """Return fields for the log lines of the ingestion's start and end."""
        if self._failure_code is None:
            return {}
        return {"status": "failed", "reason": self._failure_code}
