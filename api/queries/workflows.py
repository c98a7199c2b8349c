"""Reads executions of workflows at Temporal, and checks who may see them."""

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
    stripe_operation_workflow_id,
    subscription_workflow_id,
)
from workflows.search_attributes import USER_ID

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: a worker answers this query, and the API must not wait for an absent worker.
DETAILS_TIMEOUT = timedelta(seconds=1)
_DETAILS_QUERY = "__temporal_workflow_metadata"
_RETRY_PREFIX = payment_retry_workflow_id("")
_OPERATION_PREFIX = stripe_operation_workflow_id("")
_Repository = type[
    SubscriptionRepository
    | PaymentRetryRepository
    | PaymentRepository
    | AgentRunRepository
    | DocumentRepository
]
# Repository of the owning row by the prefix of a workflow id; the rest is the row's id.
_REPOSITORIES: dict[str, _Repository] = {
    subscription_workflow_id(""): SubscriptionRepository,
    payment_workflow_id(""): PaymentRepository,
    agent_run_workflow_id(""): AgentRunRepository,
    ingest_workflow_id(""): DocumentRepository,
}


class WorkflowStatus(StrEnum):
    """Statuses of an execution at Temporal."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"


QUERY_NAMES = {status: status.title().replace("_", "") for status in WorkflowStatus}


class WorkflowOut(BaseModel):
    """An execution of a workflow."""

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


async def check_owner(
    sessions: Sessions,
    temporal: Client,
    workflow_id: str,
    user_id: UUID | None,
) -> None:
    """Check that a user owns a workflow; None, an administrator, may see all.

    Raises:
        NotFoundError: The workflow belongs to another user, or does not exist.
    """
    if user_id is None:
        return
    row: object = None
    if workflow_id.startswith(_OPERATION_PREFIX):
        # Reason: an operation at Stripe has no row; its workflow names the user it is for.
        described = await temporal.get_workflow_handle(workflow_id).describe(
            rpc_timeout=RPC_TIMEOUT
        )
        row = described.typed_search_attributes.get(USER_ID) == str(user_id) or None
    async with sessions() as session:
        if owner := _owner_row_of(workflow_id):
            repository, row_id = owner
            row = await repository(session).get(row_id, user_id)
    if row is None:
        raise NotFoundError("there is no such workflow, or it no longer exists")


def _owner_row_of(workflow_id: str) -> tuple[_Repository, UUID] | None:
    """Return repository and id of the row that a workflow belongs to; None without an owner."""
    if workflow_id.startswith(_RETRY_PREFIX):
        return PaymentRetryRepository, payment_retry_id(workflow_id.removeprefix(_RETRY_PREFIX))
    for prefix, repository in _REPOSITORIES.items():
        row_id = _uuid(workflow_id.removeprefix(prefix))
        if workflow_id.startswith(prefix) and row_id is not None:
            return repository, row_id
    return None


async def describe_workflow(
    temporal: Client,
    settings: TemporalSettings,
    workflow_id: str,
) -> WorkflowOut:
    """Read the status of an execution at Temporal, and its current details while it runs."""
    handle = temporal.get_workflow_handle(workflow_id)
    execution = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    details = None
    if execution.status is WorkflowExecutionStatus.RUNNING:
        details = await _current_details(temporal, workflow_id)
    return view_of(execution, settings).model_copy(update={"current_details": details})


async def _current_details(temporal: Client, workflow_id: str) -> str | None:
    """Return the current details of a workflow; None if no worker answers in time."""
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


def view_of(execution: WorkflowExecution, settings: TemporalSettings) -> WorkflowOut:
    """Render an execution, with its link to the Web UI."""
    path = (
        f"namespaces/{settings.namespace}/workflows/"
        f"{quote(execution.id, safe='')}/{execution.run_id}"
    )
    return WorkflowOut(
        workflow_id=execution.id,
        run_id=execution.run_id,
        workflow_type=execution.workflow_type,
        status=execution.status.name.lower() if execution.status else "unknown",
        started_at=execution.start_time,
        closed_at=execution.close_time,
        url=f"{settings.ui_url}/{path}",
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
