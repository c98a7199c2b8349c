"""Routes for plans."""

from uuid import UUID, uuid4

from fastapi.responses import JSONResponse

from api.deps import AdminDep, CallerDep, PagingDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404
from api.openapi.problems import (
    ADMIN_REQUIRED,
    AMOUNT_BETWEEN_STEPS,
    OVERAGE_NOT_STACKABLE,
    PLAN_CODE_TAKEN,
    STRIPE_DOWN,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    UNKNOWN_RETRY_POLICY,
    no_such,
    operation_pending,
    problems,
)
from api.schemas.common import Listing
from api.schemas.plans import NewPlan, PlanChangeIn, PlanOut
from api.starters.stripe_operations import run_operation
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from domain.errors import ConflictError, InvalidInputError
from domain.payments.money import check_step
from domain.plans import PlanRequest, check_overage
from domain.stripe_operations import ChangePlan, CreatePlan

router = ApiRouter(prefix="/plans", tags=["plans"])


@router.get("")
async def list_plans(
    caller: CallerDep,  # noqa: ARG001 - every user may read plans
    sessions: SessionsDep,
    paging: PagingDep,
    is_active: bool | None = None,
) -> Listing[PlanOut]:
    """List plans, newest first."""
    async with sessions() as session:
        page = await PlanRepository(session).list(is_active, paging.limit, paging.cursor)
    return Listing[PlanOut].of(page, PlanOut.of)


@router.get("/{plan_id}", responses=problems(no_such("plan")))
async def get_plan(
    plan_id: UUID,
    caller: CallerDep,  # noqa: ARG001 - every user may read plans
    sessions: SessionsDep,
) -> PlanOut:
    """Return a plan."""
    return await _read(sessions, plan_id)


@router.post(
    "",
    status_code=201,
    response_model=PlanOut,
    responses=problems(
        ADMIN_REQUIRED,
        PLAN_CODE_TAKEN,
        UNKNOWN_RETRY_POLICY,
        AMOUNT_BETWEEN_STEPS,
        OVERAGE_NOT_STACKABLE,
        STRIPE_REJECTED,
        operation_pending(),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def create_plan(
    body: NewPlan,
    caller: AdminDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a plan, with its product and price at Stripe. Administrators only.

    With `stripe_price_id` the plan takes over a price that is there, and Stripe stays as it is.
    """
    check_step(body.amount_cents, body.currency_code)
    check_overage(body.overage, is_stackable=body.is_stackable)
    await _check_policy(sessions, body.retry_policy)

    async def work(claim: Claim) -> PlanOut:
        async with sessions() as session:
            existing = await PlanRepository(session).get_by_code(body.code)
        if existing is not None and existing.plan_id != claim.resource_id:
            raise ConflictError("a plan with this code exists already", "plan_code_taken")
        operation = CreatePlan(
            operation_id=claim.resource_id,
            resource_id=claim.resource_id,
            plan=PlanRequest(**body.model_dump()),
        )
        await run_operation(temporal, operation, f"create plan {body.code}")
        return await _read(sessions, claim.resource_id)

    return await once.run(caller.user_id, work, status=201, location="plan_id")


@router.patch(
    "/{plan_id}",
    responses=problems(
        ADMIN_REQUIRED,
        no_such("plan"),
        UNKNOWN_RETRY_POLICY,
        AMOUNT_BETWEEN_STEPS,
        OVERAGE_NOT_STACKABLE,
        STRIPE_REJECTED,
        operation_pending(),
        TEMPORAL_DOWN,
        STRIPE_DOWN,
    ),
)
async def change_plan(
    plan_id: UUID,
    body: PlanChangeIn,
    caller: AdminDep,  # noqa: ARG001 - the dependency is the check
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> PlanOut:
    """Change a plan. Existing subscriptions keep their price. Administrators only."""
    plan = await _read(sessions, plan_id)
    if body.amount_cents is not None:
        check_step(body.amount_cents, plan.currency_code)
    check_overage(
        plan.overage if body.overage is None else body.overage,
        is_stackable=plan.is_stackable if body.is_stackable is None else body.is_stackable,
    )
    if body.retry_policy is not None:
        await _check_policy(sessions, body.retry_policy)
    operation = ChangePlan(
        operation_id=uuid4(),
        resource_id=plan_id,
        plan=PlanRequest(**body.model_dump()),
    )
    await run_operation(temporal, operation, f"change plan {plan.code}")
    return await _read(sessions, plan_id)


async def _read(sessions: Sessions, plan_id: UUID) -> PlanOut:
    async with sessions() as session:
        return PlanOut.of(or_404(await PlanRepository(session).get(plan_id), "plan"))


async def _check_policy(sessions: Sessions, name: str) -> None:
    async with sessions() as session:
        if await RetryPolicyRepository(session).latest(name) is None:
            raise InvalidInputError("there is no such retry policy", "unknown_retry_policy")
