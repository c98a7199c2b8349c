"""Payments."""

from enum import StrEnum
from uuid import UUID

from fastapi import APIRouter

from api.deps import CallerDep, PagingDep, SessionsDep
from api.lookup import found
from api.schemas.common import Listing, problems
from api.schemas.payments import PaymentOut
from database.payments import PaymentRepository

router = APIRouter(prefix="/payments", tags=["payments"])


class PaymentStatus(StrEnum):
    """Where a payment can stand."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    DISPUTED = "disputed"


@router.get("", responses=problems(401, 422, 503))
async def list_payments(
    caller: CallerDep,
    sessions: SessionsDep,
    paging: PagingDep,
    payment_status: PaymentStatus | None = None,
) -> Listing[PaymentOut]:
    """Return payments, newest first."""
    async with sessions() as session:
        page = await PaymentRepository(session).list(
            caller.scope,
            payment_status,
            paging.limit,
            paging.cursor,
        )
    return Listing[PaymentOut].of(page, PaymentOut.model_validate)


@router.get("/{payment_id}", responses=problems(401, 404, 422, 503))
async def get_payment(payment_id: UUID, caller: CallerDep, sessions: SessionsDep) -> PaymentOut:
    """Return a payment."""
    async with sessions() as session:
        row = await PaymentRepository(session).get(payment_id, caller.scope)
    return PaymentOut.model_validate(found(row, "payment"))
