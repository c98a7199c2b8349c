"""Routes for payment retries of unpaid invoices."""

from typing import Any
from uuid import UUID

from fastapi.responses import JSONResponse
from temporalio.client import Client
from temporalio.workflow import UpdateMethodMultiParam

from adapters.temporal.calls import naming_pending
from api.commands import send_command
from api.deps import AdminDep, CallerDep, PagingDep, ScopeDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404
from api.openapi.problems import (
    ADMIN_REQUIRED,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    WORKFLOW_MISSING,
    illegal,
    no_such,
    pending,
    problems,
)
from api.schemas.common import Listing
from api.schemas.parked import parked_facts
from api.schemas.payment_retries import PaymentRetryOut
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.errors import IllegalCommandError
from domain.payment_retries.lifecycle import CLOSED, RetryStatus
from domain.payment_retries.messages import RetryNow, RetrySnapshot
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow

router = ApiRouter(prefix="/payment-retries", tags=["payment-retries"])


@router.get("", responses=problems(no_such("user")))
async def list_payment_retries(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    subscription_id: UUID | None = None,
    retry_status: RetryStatus | None = None,
    is_parked: bool | None = None,
) -> Listing[PaymentRetryOut]:
    """List payment retries with their attempts, newest first."""
    async with sessions() as session:
        repository = PaymentRetryRepository(session)
        page = await repository.list(
            scope,
            paging.limit,
            paging.cursor,
            {"subscription_id": subscription_id, "retry_status": retry_status},
            is_parked=is_parked,
        )
        attempts = await repository.attempts([row.payment_retry_id for row in page.items])
    return Listing[PaymentRetryOut].of(
        page,
        lambda row: PaymentRetryOut.of(row, attempts.get(row.payment_retry_id, ())),
    )


@router.get("/{payment_retry_id}", responses=problems(no_such("payment retry")))
async def get_payment_retry(
    payment_retry_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
) -> PaymentRetryOut:
    """Return a payment retry with its attempts."""
    return await _read(sessions, payment_retry_id, caller.scope)


@router.post(
    "/{payment_retry_id}/retry-now",
    response_model=PaymentRetryOut,
    responses=problems(
        no_such("payment retry"),
        illegal("payment retry", "retry_status", "recovered"),
        STRIPE_REJECTED,
        pending("payment_retry_id"),
        TEMPORAL_DOWN,
        WORKFLOW_MISSING,
    ),
)
async def retry_payment_now(
    payment_retry_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Charge at once, besides the schedule. A declined charge is a 200 too: see `attempts`."""
    payment_retry = await _read(sessions, payment_retry_id, caller.scope)

    async def work(claim: Claim) -> PaymentRetryOut:
        return await _send(temporal, sessions, payment_retry, PaymentRetryWorkflow.retry_now, claim)

    return await once.run(caller.user_id, work)


@router.post(
    "/{payment_retry_id}/retry-parked",
    response_model=PaymentRetryOut,
    responses=problems(
        ADMIN_REQUIRED,
        no_such("payment retry"),
        illegal("payment retry", "retry_status", "recovered"),
        STRIPE_REJECTED,
        pending("payment_retry_id"),
        TEMPORAL_DOWN,
        WORKFLOW_MISSING,
    ),
)
async def retry_parked_payment_retry(
    payment_retry_id: UUID,
    admin: AdminDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Retry a parked step at once. Administrators only."""
    payment_retry = await _read(sessions, payment_retry_id, None)

    async def work(claim: Claim) -> PaymentRetryOut:
        return await _send(
            temporal, sessions, payment_retry, PaymentRetryWorkflow.retry_parked, claim
        )

    return await once.run(admin.user_id, work)


async def _send(
    temporal: Client,
    sessions: Sessions,
    payment_retry: PaymentRetryOut,
    update: UpdateMethodMultiParam[[Any, RetryNow], RetrySnapshot],
    claim: Claim,
) -> PaymentRetryOut:
    """Send a command to a payment retry, and return its state afterwards."""

    async def refusal() -> IllegalCommandError | None:
        latest = await _read(sessions, payment_retry.payment_retry_id, None)
        if latest.retry_status not in CLOSED:
            return None
        state = {"retry_status": latest.retry_status}
        return IllegalCommandError(f"the payment retry is {latest.retry_status}", details=state)

    handle = temporal.get_workflow_handle(payment_retry.workflow_id)
    command = RetryNow(command_id=claim.command_id)
    with naming_pending(payment_retry_id=payment_retry.payment_retry_id):
        snapshot = await send_command(handle, update, command, command.command_id, refusal)
    charged = await _read(sessions, payment_retry.payment_retry_id, None)
    # Reason: the workflow answers shortly before it writes its row.
    parked = parked_facts([step.model_dump() for step in snapshot.parked])
    return charged.model_copy(update=snapshot.model_dump(exclude={"parked"}) | parked)


async def _read(
    sessions: Sessions,
    payment_retry_id: UUID,
    user_id: UUID | None,
) -> PaymentRetryOut:
    async with sessions() as session:
        repository = PaymentRetryRepository(session)
        row = or_404(await repository.get(payment_retry_id, user_id), "payment retry")
        attempts = await repository.attempts([row.payment_retry_id])
    return PaymentRetryOut.of(row, attempts.get(row.payment_retry_id, ()))
