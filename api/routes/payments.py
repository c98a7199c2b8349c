"""Routes for payments: create, read, cancel and refund."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.responses import JSONResponse

from api.deps import AdminDep, CallerDep, PagingDep, ScopeDep, SessionsDep, SettingsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404, resolve_user_id
from api.openapi.examples import answer
from api.openapi.problems import (
    ADMIN_REQUIRED,
    AMOUNT_BETWEEN_STEPS,
    REFUND_REJECTED,
    REFUND_TOO_HIGH,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    illegal,
    no_such,
    pending,
    problems,
    start_pending,
)
from api.schemas.common import Listing
from api.schemas.payments import (
    NEW_PAYMENT_EXAMPLE,
    CancelPaymentIn,
    NewPayment,
    NewRefund,
    PaymentDetailOut,
    PaymentOut,
)
from api.starters.subscriptions import start_payment
from database.payments.models import Payment
from database.payments.payment_methods import PaymentMethodRepository
from database.payments.payments import PaymentRepository
from database.payments.refunds import RefundRepository
from database.session import Sessions
from domain.payments.messages import PaymentRequest, RefundInput
from domain.payments.money import check_step
from domain.payments.rules import PaymentStatus
from services.payments.commands import PaymentCommands

router = ApiRouter(prefix="/payments", tags=["payments"])


async def get_own(payment_id: UUID, caller: CallerDep, sessions: SessionsDep) -> Payment:
    """Return the payment in the path, or answer 404 if it is not the caller's."""
    async with sessions() as session:
        row = await PaymentRepository(session).get(payment_id, caller.scope)
    return or_404(row, "payment")


OwnDep = Annotated[Payment, Depends(get_own)]


@router.post(
    "",
    status_code=202,
    response_model=PaymentOut,
    responses=answer(202, NEW_PAYMENT_EXAMPLE)
    | problems(
        no_such("user"),
        no_such("payment method"),
        AMOUNT_BETWEEN_STEPS,
        start_pending("payment", "payment_id"),
        TEMPORAL_DOWN,
    ),
)
async def create_payment(
    body: NewPayment,
    caller: CallerDep,
    sessions: SessionsDep,
    settings: SettingsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Charge a card now.

    The answer waits about a second for the outcome; without one the payment is `pending`. If the
    customer must authenticate, the payment is `requires_action`: send the customer to the
    `next_action_url`.
    """
    check_step(body.amount_cents, body.currency_code)
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> PaymentOut:
        async with sessions() as session:
            cards = PaymentMethodRepository(session)
            card = or_404(await cards.get(body.payment_method_id, user_id), "payment method")
        request = PaymentRequest(
            user_id=user_id,
            amount_cents=body.amount_cents,
            currency_code=body.currency_code,
            stripe_payment_method_id=card.stripe_payment_method_id,
            return_url=str(body.return_url or settings.public_url),
            description=body.description,
        )
        row = await start_payment(temporal, sessions, claim.resource_id, request)
        return PaymentOut.of(row)

    return await once.run(caller.user_id, work, status=202, location="payment_id")


@router.get("", responses=problems(no_such("user")))
async def list_payments(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    payment_status: PaymentStatus | None = None,
    is_parked: bool | None = None,
) -> Listing[PaymentOut]:
    """List payments, newest first."""
    async with sessions() as session:
        page = await PaymentRepository(session).list(
            scope,
            paging.limit,
            paging.cursor,
            {"payment_status": payment_status},
            is_parked=is_parked,
        )
    return Listing[PaymentOut].of(page, PaymentOut.of)


@router.get("/{payment_id}", responses=problems(no_such("payment")))
async def get_payment(payment: OwnDep, sessions: SessionsDep) -> PaymentDetailOut:
    """Return a payment with its refunds."""
    return await _detail(sessions, payment.payment_id)


@router.post(
    "/{payment_id}/cancel",
    response_model=PaymentDetailOut,
    responses=problems(
        no_such("payment"),
        illegal("payment", "payment_status", "succeeded"),
        pending("payment_id"),
        TEMPORAL_DOWN,
    ),
)
async def cancel_payment(
    payment: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
    body: CancelPaymentIn | None = None,  # noqa: ARG001 - `now` is the only mode
) -> JSONResponse:
    """Cancel a payment that is not completed yet. A charge that happens anyway is refunded."""

    async def work(claim: Claim) -> PaymentDetailOut:
        await PaymentCommands(temporal).cancel(payment.payment_id, claim.command_id)
        return await _detail(sessions, payment.payment_id)

    return await once.run(caller.user_id, work)


@router.post(
    "/{payment_id}/refund",
    response_model=PaymentDetailOut,
    responses=problems(
        ADMIN_REQUIRED,
        no_such("payment"),
        illegal("payment", "payment_status", "refunded"),
        REFUND_TOO_HIGH,
        AMOUNT_BETWEEN_STEPS,
        REFUND_REJECTED,
        pending("payment_id", "refund_id"),
        TEMPORAL_DOWN,
    ),
)
async def refund_payment(
    body: NewRefund,
    admin: AdminDep,
    payment: OwnDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Refund a payment in full or in part, including the payment of an invoice."""

    async def work(claim: Claim) -> PaymentDetailOut:
        refund_input = RefundInput(
            payment_id=payment.payment_id,
            refund_id=claim.command_id,
            amount_cents=body.amount_cents,
            reason=body.reason,
            requested_by=admin.user_id,
        )
        await PaymentCommands(temporal).refund(refund_input)
        return await _detail(sessions, payment.payment_id)

    return await once.run(admin.user_id, work)


@router.post(
    "/{payment_id}/retry-parked",
    response_model=PaymentDetailOut,
    responses=problems(
        ADMIN_REQUIRED, no_such("payment"), STRIPE_REJECTED, pending("payment_id"), TEMPORAL_DOWN
    ),
)
async def retry_parked_payment(
    admin: AdminDep,
    payment: OwnDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Retry a parked step at once. Administrators only."""

    async def work(claim: Claim) -> PaymentDetailOut:
        await PaymentCommands(temporal).retry_parked(payment.payment_id, claim.command_id)
        return await _detail(sessions, payment.payment_id)

    return await once.run(admin.user_id, work)


async def _detail(sessions: Sessions, payment_id: UUID) -> PaymentDetailOut:
    async with sessions() as session:
        row = await PaymentRepository(session).get(payment_id, None)
        refunds = await RefundRepository(session).list(payment_id)
    return PaymentDetailOut.with_refunds(or_404(row, "payment"), refunds)
