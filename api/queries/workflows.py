"""Reads executions at Temporal, and tells whose they are."""

from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.exceptions import TemporalError

from config import TemporalSettings
from database.agents.agent_runs import AgentRunRepository
from database.knowledge.documents import DocumentRepository
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payments.payments import PaymentRepository
from database.session import Sessions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import NotFoundError
from domain.ids import (
    agent_run_workflow_id,
    ingest_workflow_id,
    payment_retry_id,
    payment_retry_workflow_id,
    payment_workflow_id,
    subscription_workflow_id,
)

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: the details are read by a worker, and the answer shall not wait for one that is away.
DETAILS_TIMEOUT = timedelta(seconds=1)
_DETAILS_QUERY = "__temporal_workflow_metadata"
_PAYMENT_RETRY = payment_retry_workflow_id("")
_Repository = type[
    SubscriptionRepository
    | PaymentRetryRepository
    | PaymentRepository
    | AgentRunRepository
    | DocumentRepository
]
# Where the others' rows lie, by how their ids begin; what follows is the row's own id.
_REPOSITORIES: dict[str, _Repository] = {
    subscription_workflow_id(""): SubscriptionRepository,
    payment_workflow_id(""): PaymentRepository,
    agent_run_workflow_id(""): AgentRunRepository,
    ingest_workflow_id(""): DocumentRepository,
}


class WorkflowStatus(StrEnum):
    """Temporal's statuses of an execution."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"


QUERY_NAMES = {status: status.title().replace("_", "") for status in WorkflowStatus}


class WorkflowView(BaseModel):
    """One execution."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "workflow_id": "subscription-6a0ee0c4-6a43-4b7b-9c6d-1f0a3c1b7a55",
                    "run_id": "019a0b2c-0000-7000-8000-000000000001",
                    "workflow_type": "SubscriptionWorkflow",
                    "status": "running",
                    "started_at": "2026-11-23T09:00:00Z",
                    "closed_at": None,
                    "current_details": "active until 23 December",
                    "url": "http://127.0.0.1:8233/namespaces/default/workflows/subscription-6a",
                },
            ],
        },
    )

    workflow_id: str
    run_id: str | None
    workflow_type: str
    status: str
    started_at: datetime
    closed_at: datetime | None
    current_details: str | None = None
    url: str


async def check_owner(sessions: Sessions, workflow_id: str, user_id: UUID | None) -> None:
    """Let an administrator see everything, and others what their own rows lead to.

    Raises:
        NotFoundError: It is not theirs, or does not exist.
    """
    if user_id is None:
        return
    row: object = None
    async with sessions() as session:
        if place := _place_of(workflow_id):
            repository, row_id = place
            row = await repository(session).get(row_id, user_id)
    if row is None:
        raise NotFoundError("there is no such workflow, or not any more")


def _place_of(workflow_id: str) -> tuple[_Repository, UUID] | None:
    """Return where the row lies that a workflow belongs to; None for those that have no owner."""
    if workflow_id.startswith(_PAYMENT_RETRY):
        return PaymentRetryRepository, payment_retry_id(workflow_id.removeprefix(_PAYMENT_RETRY))
    for prefix, repository in _REPOSITORIES.items():
        row_id = _uuid(workflow_id.removeprefix(prefix))
        if workflow_id.startswith(prefix) and row_id is not None:
            return repository, row_id
    return None


async def describe_workflow(
    temporal: Client,
    settings: TemporalSettings,
    workflow_id: str,
) -> WorkflowView:
    """Read where an execution stands, and what it says of itself."""
    handle = temporal.get_workflow_handle(workflow_id)
    seen = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    details = None
    if seen.status is WorkflowExecutionStatus.RUNNING:
        details = await _current_details(temporal, workflow_id)
    return view_of(seen, settings).model_copy(update={"current_details": details})


async def _current_details(temporal: Client, workflow_id: str) -> str | None:
    """Return what a workflow says of itself, if a worker is there to tell."""
    handle = temporal.get_workflow_handle(workflow_id)
    try:
        metadata = await handle.query(
            _DETAILS_QUERY,
            result_type=WorkflowMetadata,
            rpc_timeout=DETAILS_TIMEOUT,
        )
    except TemporalError:
        return None
    return metadata.current_details or None


def view_of(seen: WorkflowExecution, settings: TemporalSettings) -> WorkflowView:
    """Render an execution, with its link into the Web UI."""
    place = f"namespaces/{settings.namespace}/workflows/{quote(seen.id, safe='')}/{seen.run_id}"
    return WorkflowView(
        workflow_id=seen.id,
        run_id=seen.run_id,
        workflow_type=seen.workflow_type,
        status=seen.status.name.lower() if seen.status else "unknown",
        started_at=seen.start_time,
        closed_at=seen.close_time,
        url=f"{settings.ui_url}/{place}",
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
