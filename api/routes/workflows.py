"""Routes for executions at Temporal: status, history and termination."""

import base64
import hmac
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from temporalio.service import RPCError, RPCStatusCode

from api.deps import AdminDep, CallerDep, PagingDep, SessionsDep, SettingsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import (
    ADMIN_REQUIRED,
    NO_SUCH_EXECUTION,
    NO_SUCH_WORKFLOW,
    TEMPORAL_DOWN,
    illegal,
    problems,
)
from api.queries.workflows import (
    QUERY_NAMES,
    RPC_TIMEOUT,
    WorkflowOut,
    WorkflowStatus,
    check_owner,
    describe_workflow,
    view_of,
)
from api.schemas.common import MASKED, NO_CARD, NOT_BLANK, Listing
from config import AuthSettings
from domain.errors import IllegalCommandError, InvalidInputError

# Reason: Temporal answers a page token that it did not issue with an internal error, which its SDK
# retries for seconds. So a cursor holds a signature of the token, which is checked on its return.
_SIGNATURE_LENGTH = 16

router = ApiRouter(prefix="/workflows", tags=["workflows"])

_READ_PROBLEMS = problems(NO_SUCH_WORKFLOW, NO_SUCH_EXECUTION, TEMPORAL_DOWN)

WorkflowId = Annotated[str, Path(max_length=300), NO_CARD]


class TerminationIn(BaseModel):
    """Why an execution is terminated."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "stuck since the outage, restarted by hand"}]},
    )

    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=500, pattern=NOT_BLANK), MASKED
    ]


@router.get("", responses=problems(ADMIN_REQUIRED, TEMPORAL_DOWN))
async def list_workflows(
    _: AdminDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    paging: PagingDep,
    status: WorkflowStatus | None = None,
) -> Listing[WorkflowOut]:
    """List executions, newest first, from Temporal's visibility store."""
    executions = temporal.list_workflows(
        f"ExecutionStatus = '{QUERY_NAMES[status]}'" if status else None,
        page_size=paging.limit,
        next_page_token=_verified_token(paging.cursor, settings.auth),
        rpc_timeout=RPC_TIMEOUT,
    )
    await executions.fetch_next_page()
    items = [view_of(each, settings.temporal) for each in executions.current_page or ()]
    return Listing(
        items=items, next_cursor=_signed_cursor(executions.next_page_token, settings.auth)
    )


@router.get("/{workflow_id}", responses=_READ_PROBLEMS)
async def get_workflow(
    workflow_id: WorkflowId,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    settings: SettingsDep,
) -> WorkflowOut:
    """Return the status of an execution, with its link to Temporal's Web UI."""
    await check_owner(sessions, temporal, workflow_id, caller.scope)
    return await describe_workflow(temporal, settings.temporal, workflow_id)


@router.get("/{workflow_id}/history", responses=_READ_PROBLEMS)
async def get_workflow_history(
    workflow_id: WorkflowId,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> dict[str, Any]:
    """Return all events of an execution, as `temporal workflow show --output json` prints them."""
    await check_owner(sessions, temporal, workflow_id, caller.scope)
    handle = temporal.get_workflow_handle(workflow_id)
    history = await handle.fetch_history(rpc_timeout=RPC_TIMEOUT)
    return history.to_json_dict()


@router.post(
    "/{workflow_id}/terminate",
    response_model=WorkflowOut,
    responses=problems(
        ADMIN_REQUIRED, NO_SUCH_EXECUTION, illegal("workflow", "status", "completed"), TEMPORAL_DOWN
    ),
)
async def terminate_workflow(
    workflow_id: WorkflowId,
    termination: TerminationIn,
    caller: AdminDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Terminate an execution without clean-up. Events and commands start a mailbox again."""

    async def work(_: Claim) -> WorkflowOut:
        handle = temporal.get_workflow_handle(workflow_id)
        try:
            await handle.terminate(reason=termination.reason, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        # Reason: Temporal answers "not found" for a closed execution too.
        execution = await describe_workflow(temporal, settings.temporal, workflow_id)
        if execution.status != WorkflowStatus.TERMINATED:
            details = {"status": execution.status}
            raise IllegalCommandError(f"the workflow is {execution.status}", details=details)
        return execution

    return await once.run(caller.user_id, work)


def _signed_cursor(token: bytes | None, settings: AuthSettings) -> str | None:
    """Return the signed cursor of a page token; None at the end of the list."""
    return base64.urlsafe_b64encode(_sign(token, settings) + token).decode() if token else None


def _verified_token(cursor: str | None, settings: AuthSettings) -> bytes | None:
    """Return the page token in a cursor.

    Raises:
        InvalidInputError: The cursor does not hold a valid signature.
    """
    if cursor is None:
        return None
    try:
        decoded = base64.urlsafe_b64decode(cursor.encode())
    except ValueError as error:
        raise InvalidInputError("the cursor is not valid", "invalid_cursor") from error
    signature, token = decoded[:_SIGNATURE_LENGTH], decoded[_SIGNATURE_LENGTH:]
    if not token or not hmac.compare_digest(signature, _sign(token, settings)):
        raise InvalidInputError("the cursor is not valid", "invalid_cursor")
    return token


def _sign(token: bytes, settings: AuthSettings) -> bytes:
    secret = settings.jwt_secret.get_secret_value().encode()
    return hmac.digest(secret, b"page-token:" + token, "sha256")[:_SIGNATURE_LENGTH]
