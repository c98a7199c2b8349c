"""Routes for reconciliations: start a full one, and read what was found."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import AdminDep, PagingDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404
from api.openapi.problems import ADMIN_REQUIRED, TEMPORAL_DOWN, no_such, problems, start_pending
from api.schemas.common import Listing
from api.schemas.reconciliations import (
    SHOWN_REPAIR_COUNT,
    ReconciliationDetailOut,
    ReconciliationOut,
)
from api.starters.reconciliations import start_reconciliation
from database.reconciliation.reconciliations import ReconciliationRepository
from domain.reconciliation.messages import ReconciliationScope, ReconciliationStatus

router = ApiRouter(prefix="/reconciliations", tags=["reconciliations"])


@router.post(
    "",
    status_code=202,
    response_model=ReconciliationOut,
    responses=problems(
        ADMIN_REQUIRED, start_pending("reconciliation", "reconciliation_id"), TEMPORAL_DOWN
    ),
)
async def create_reconciliation(
    caller: AdminDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Compare everything with Stripe now: missed events, and all live subscriptions.

    Missed events are delivered, and subscriptions that are behind are read anew. Nothing is
    charged, and nothing is changed at Stripe.
    """

    async def work(claim: Claim) -> ReconciliationOut:
        row = await start_reconciliation(temporal, sessions, claim.resource_id, caller.user_id)
        return ReconciliationOut.of(row)

    return await once.run(caller.user_id, work, status=202, location="reconciliation_id")


@router.get("", responses=problems(ADMIN_REQUIRED))
async def list_reconciliations(
    _: AdminDep,
    sessions: SessionsDep,
    paging: PagingDep,
    reconciliation_scope: ReconciliationScope | None = None,
    reconciliation_status: ReconciliationStatus | None = None,
) -> Listing[ReconciliationOut]:
    """List reconciliations, newest first, without their findings."""
    async with sessions() as session:
        page = await ReconciliationRepository(session).list(
            reconciliation_scope, reconciliation_status, paging.limit, paging.cursor
        )
    return Listing.of(page, ReconciliationOut.of)


@router.get("/{reconciliation_id}", responses=problems(ADMIN_REQUIRED, no_such("reconciliation")))
async def get_reconciliation(
    reconciliation_id: UUID, _: AdminDep, sessions: SessionsDep
) -> ReconciliationDetailOut:
    """Return a reconciliation with its findings."""
    async with sessions() as session:
        repository = ReconciliationRepository(session)
        row = or_404(await repository.get(reconciliation_id), "reconciliation")
        repairs = await repository.repairs(reconciliation_id, SHOWN_REPAIR_COUNT)
    return ReconciliationDetailOut.of_repairs(row, list(repairs))
