"""Routes for cards."""

from uuid import UUID, uuid4

from fastapi.responses import JSONResponse
from starlette.convertors import StringConvertor, register_url_convertor

from api.deps import (
    CallerDep,
    PagingDep,
    ScopeDep,
    SessionsDep,
    SetupIntentsDep,
    TemporalDep,
)
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404, resolve_user_id
from api.openapi.problems import (
    CARD_DECLINED,
    CARD_UNUSABLE,
    NOT_A_CARD,
    STRIPE_DOWN,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    UNKNOWN_AT_STRIPE,
    no_such,
    pending,
    problems,
)
from api.schemas.common import Listing
from api.schemas.payment_methods import (
    NewPaymentMethod,
    NewSetupIntent,
    PaymentMethodOut,
    SetupIntentOut,
)
from api.starters.stripe_operations import run_operation
from database.payments.models import PaymentMethod
from database.payments.payment_methods import PaymentMethodRepository
from database.session import Sessions
from domain.stripe_operations import (
    AttachPaymentMethod,
    CreateSetupIntent,
    DetachPaymentMethod,
    SetDefaultPaymentMethod,
)


class CardConvertor(StringConvertor):
    """Matches the id of a card in a path: any text but `setup-intent`, which has no DELETE."""

    regex = "(?!setup-intent$)[^/]+"


register_url_convertor("card", CardConvertor())
router = ApiRouter(prefix="/payment-methods", tags=["payment-methods"])


@router.post(
    "",
    status_code=201,
    response_model=PaymentMethodOut,
    responses=problems(
        CARD_DECLINED,
        UNKNOWN_AT_STRIPE,
        no_such("user"),
        CARD_UNUSABLE,
        NOT_A_CARD,
        STRIPE_REJECTED,
        pending("workflow_id"),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def attach_payment_method(
    body: NewPaymentMethod,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Attach a card. A default card is also tried on every open payment retry at once."""
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> PaymentMethodOut:
        operation = AttachPaymentMethod(
            operation_id=claim.resource_id,
            resource_id=claim.resource_id,
            user_id=user_id,
            stripe_payment_method_id=body.stripe_payment_method_id,
            is_default=body.is_default,
        )
        result = await run_operation(temporal, operation, "attach a card", user_id)
        row = await _read(sessions, result.resource_id, user_id)
        return PaymentMethodOut.model_validate(row)

    return await once.run(caller.user_id, work, status=201)


@router.post(
    "/setup-intent",
    status_code=201,
    response_model=SetupIntentOut,
    responses=problems(
        no_such("user"), STRIPE_REJECTED, pending("workflow_id"), TEMPORAL_DOWN, STRIPE_DOWN
    ),
)
async def create_setup_intent(
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
    setup_intents: SetupIntentsDep,
    body: NewSetupIntent | None = None,
) -> JSONResponse:
    """Create a setup intent, to save a card with Stripe.js for charges without the customer."""
    user_id = await resolve_user_id(sessions, caller, body.user_id if body else None)

    async def work(claim: Claim) -> SetupIntentOut:
        operation = CreateSetupIntent(
            operation_id=claim.resource_id,
            resource_id=claim.resource_id,
            user_id=user_id,
        )
        result = await run_operation(temporal, operation, "create a setup intent", user_id)
        # Reason: the secret is read from Stripe here, so that it is in no history.
        secret = await setup_intents.client_secret(result.stripe_setup_intent_id or "")
        return SetupIntentOut(setup_intent_id=result.resource_id, client_secret=secret)

    # Reason: the secret must not be stored; a repeated operation returns the same intent.
    return await once.run(caller.user_id, work, status=201, is_kept=False)


@router.get("", responses=problems(no_such("user")))
async def list_payment_methods(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[PaymentMethodOut]:
    """List attached cards, newest first."""
    async with sessions() as session:
        repository = PaymentMethodRepository(session)
        page = await repository.list(scope, paging.limit, paging.cursor)
    return Listing[PaymentMethodOut].of(page, PaymentMethodOut.model_validate)


@router.delete(
    "/{payment_method_id:card}",
    status_code=204,
    responses=problems(
        no_such("payment method"), STRIPE_REJECTED, pending("workflow_id"), TEMPORAL_DOWN
    ),
)
async def detach_payment_method(
    payment_method_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> None:
    """Detach a card."""
    row = await _read(sessions, payment_method_id, caller.scope)
    operation = DetachPaymentMethod(
        operation_id=uuid4(),
        resource_id=row.payment_method_id,
        stripe_payment_method_id=row.stripe_payment_method_id,
    )
    await run_operation(temporal, operation, "detach a card", row.user_id)


@router.post(
    "/{payment_method_id}/default",
    response_model=PaymentMethodOut,
    responses=problems(
        CARD_DECLINED,
        no_such("payment method"),
        CARD_UNUSABLE,
        STRIPE_REJECTED,
        pending("workflow_id"),
        TEMPORAL_DOWN,
    ),
)
async def set_default_payment_method(
    payment_method_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Make a card the default. It is also tried on every open payment retry at once."""
    row = await _read(sessions, payment_method_id, caller.scope)

    async def work(claim: Claim) -> PaymentMethodOut:
        operation = SetDefaultPaymentMethod(
            operation_id=claim.command_id,
            resource_id=row.payment_method_id,
            user_id=row.user_id,
            stripe_payment_method_id=row.stripe_payment_method_id,
        )
        await run_operation(temporal, operation, "make a card the default", row.user_id)
        changed = await _read(sessions, payment_method_id, caller.scope)
        return PaymentMethodOut.model_validate(changed)

    return await once.run(caller.user_id, work)


async def _read(
    sessions: Sessions,
    payment_method_id: UUID,
    user_id: UUID | None,
) -> PaymentMethod:
    async with sessions() as session:
        row = await PaymentMethodRepository(session).get(payment_method_id, user_id)
    return or_404(row, "payment method")
