"""Temporal's own view of the work: status, history, and a last way out."""

import base64
import hmac
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from api.deps import AdminDep, CallerDep, PagingDep, SessionsDep, SettingsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, OnceDep
from api.schemas.common import MASKED, NO_CARD, Listing, problems
from config import AuthSettings, TemporalSettings
from database.agents.agent_runs import AgentRunRepository
from database.knowledge.documents import DocumentRepository
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payments.payments import PaymentRepository
from database.session import Sessions
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import IllegalCommandError, InvalidInputError, NotFoundError
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
# Reason: Temporal takes a page token that it did not give out for a fault of its own, and its SDK
# then asks again for seconds. So a token goes out with a seal, which is checked when it comes back.
_SEAL_LENGTH = 16
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

router = ApiRouter(prefix="/workflows", tags=["workflows"])

WorkflowId = Annotated[str, Path(max_length=300), NO_CARD]


class WorkflowStatus(StrEnum):
    """Temporal's statuses of an execution."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"


_QUERY_NAMES = {status: status.title().replace("_", "") for status in WorkflowStatus}


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


class Termination(BaseModel):
    """Why an execution is ended by force."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "stuck since the outage, restarted by hand"}]},
    )

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), MASKED]


@router.get("", responses=problems(401, 403, 422, 503))
async def list_workflows(
    _: AdminDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    paging: PagingDep,
    status: WorkflowStatus | None = None,
) -> Listing[WorkflowView]:
    """List executions, newest first, as Temporal's visibility store shows them."""
    found = temporal.list_workflows(
        f"ExecutionStatus = '{_QUERY_NAMES[status]}'" if status else None,
        page_size=paging.limit,
        next_page_token=_open_cursor(paging.cursor, settings.auth),
        rpc_timeout=RPC_TIMEOUT,
    )
    await found.fetch_next_page()
    items = [_view(each, settings.temporal) for each in found.current_page or ()]
    return Listing(items=items, next_cursor=_sealed(found.next_page_token, settings.auth))


@router.get("/{workflow_id}", responses=problems(401, 404, 503))
async def get_workflow(
    workflow_id: WorkflowId,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    settings: SettingsDep,
) -> WorkflowView:
    """Return where an execution stands, with its link into Temporal's Web UI."""
    await _check_owner(sessions, workflow_id, caller.scope)
    return await _describe(temporal, settings.temporal, workflow_id)


@router.get("/{workflow_id}/history", responses=problems(401, 404, 503))
async def get_history(
    workflow_id: WorkflowId,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> dict[str, Any]:
    """Return all events, in the JSON of `temporal workflow show --output json`."""
    await _check_owner(sessions, workflow_id, caller.scope)
    handle = temporal.get_workflow_handle(workflow_id)
    history = await handle.fetch_history(rpc_timeout=RPC_TIMEOUT)
    return history.to_json_dict()


@router.post(
    "/{workflow_id}/terminate",
    response_model=WorkflowView,
    responses=problems(401, 403, 404, 409, 422, 503),
)
async def terminate_workflow(
    workflow_id: WorkflowId,
    termination: Termination,
    caller: AdminDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    once: OnceDep,
) -> JSONResponse:
    """End an execution by force, without clean-up; events and commands start a mailbox again."""

    async def work(_: Claim) -> WorkflowView:
        handle = temporal.get_workflow_handle(workflow_id)
        try:
            await handle.terminate(reason=termination.reason, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        # Reason: "not found" is also what Temporal says of one that has closed.
        seen = await _describe(temporal, settings.temporal, workflow_id)
        if seen.status != WorkflowStatus.TERMINATED:
            details = {"status": seen.status}
            raise IllegalCommandError(f"the workflow is {seen.status}", details=details)
        return seen

    return await once.run(caller.user_id, work)


async def _check_owner(sessions: Sessions, workflow_id: str, user_id: UUID | None) -> None:
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


async def _describe(
    temporal: Client,
    settings: TemporalSettings,
    workflow_id: str,
) -> WorkflowView:
    handle = temporal.get_workflow_handle(workflow_id)
    seen = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    details = None
    if seen.status is WorkflowExecutionStatus.RUNNING:
        details = await _current_details(temporal, workflow_id)
    return _view(seen, settings).model_copy(update={"current_details": details})


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


def _view(seen: WorkflowExecution, settings: TemporalSettings) -> WorkflowView:
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


def _sealed(token: bytes | None, settings: AuthSettings) -> str | None:
    """Return the cursor of a page token; None at the end of the list."""
    return base64.urlsafe_b64encode(_seal(token, settings) + token).decode() if token else None


def _open_cursor(cursor: str | None, settings: AuthSettings) -> bytes | None:
    """Return the page token of a cursor.

    Raises:
        InvalidInputError: The cursor did not come from `_sealed`.
    """
    if cursor is None:
        return None
    try:
        given = base64.urlsafe_b64decode(cursor.encode())
    except ValueError as error:
        raise InvalidInputError("the cursor is not one of ours", "invalid_cursor") from error
    seal, token = given[:_SEAL_LENGTH], given[_SEAL_LENGTH:]
    if not token or not hmac.compare_digest(seal, _seal(token, settings)):
        raise InvalidInputError("the cursor is not one of ours", "invalid_cursor")
    return token


def _seal(token: bytes, settings: AuthSettings) -> bytes:
    secret = settings.jwt_secret.get_secret_value().encode()
    return hmac.digest(secret, b"page-token:" + token, "sha256")[:_SEAL_LENGTH]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
