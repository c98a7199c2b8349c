"""Routes for subscriptions: create, read and explain."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.responses import JSONResponse

from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import now, or_404, read_seq, resolve_user_id
from api.openapi.problems import (
    COUPON_ADMIN,
    CURRENCY_MISMATCH,
    DISCOUNT_REFUSED,
    EXAMPLE_ID,
    LONGER_TRIAL,
    TEMPORAL_DOWN,
    illegal,
    no_such,
    problems,
    start_pending,
)
from api.queries.explanations import explain_row
from api.schemas.common import Listing
from api.schemas.subscriptions import (
    ExplanationOut,
    InvoiceOut,
    NewSubscription,
    ReactivateIn,
    SubscriptionEventOut,
    SubscriptionOut,
)
from api.starters.selling import Buyer
from api.starters.subscriptions import start_subscription
from database.session import Sessions
from database.subscriptions.invoices import InvoiceRepository
from database.subscriptions.models import Subscription, SubscriptionEvent
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.errors import IllegalCommandError
from domain.subscriptions.checkouts import checkout_open
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, decide
from domain.subscriptions.selling import already_subscribed

router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


async def get_own(
    subscription_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
) -> Subscription:
    """Return the subscription in the path, or answer 404 if it is not the caller's."""
    return await read_subscription(sessions, subscription_id, caller.scope)


OwnDep = Annotated[Subscription, Depends(get_own)]


@router.post(
    "",
    status_code=202,
    response_model=SubscriptionOut,
    responses=problems(
        LONGER_TRIAL,
        COUPON_ADMIN,
        no_such("plan"),
        no_such("payment method"),
        no_such("user"),
        no_such("coupon", "coupon_not_found"),
        no_such("promotion code", "promotion_code_not_found"),
        DISCOUNT_REFUSED,
        already_subscribed(UUID(EXAMPLE_ID)),
        CURRENCY_MISMATCH,
        checkout_open(UUID(EXAMPLE_ID)),
        start_pending("subscription", "subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def create_subscription(
    body: NewSubscription,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a subscription. If the customer has a card, it is charged at once.

    Open Checkout pages of the same plan are closed, so that nobody pays twice.

    The answer waits about a second for the first outcome. A subscription that is still
    `incomplete` then becomes `active` once its first invoice is paid.
    """
    user_id = await resolve_user_id(sessions, caller, body.user_id)

    async def work(claim: Claim) -> SubscriptionOut:
        buyer = Buyer(user_id, is_admin=caller.scope is None)
        row = await start_subscription(temporal, sessions, claim.resource_id, buyer, body)
        return SubscriptionOut.of(row, now())

    return await once.run(caller.user_id, work, status=202, location="subscription_id")


@router.post(
    "/{subscription_id}/reactivate",
    status_code=202,
    response_model=SubscriptionOut,
    responses=problems(
        no_such("subscription"),
        no_such("plan"),
        no_such("payment method"),
        illegal("subscription", "subscription_status", "active"),
        already_subscribed(UUID(EXAMPLE_ID)),
        CURRENCY_MISMATCH,
        start_pending("subscription", "subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def reactivate_subscription(
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
    body: ReactivateIn | None = None,
) -> JSONResponse:
    """Start a new subscription of the same plan in place of one that has ended.

    It is a subscription of its own, whose `replaces_subscription_id` names the ended one; what the
    plan costs now is charged, as for any new subscription.
    """
    wanted = body or ReactivateIn()

    async def work(claim: Claim) -> SubscriptionOut:
        status = SubscriptionStatus(subscription.subscription_status)
        decision = decide(status, CommandKind.REACTIVATE)
        if decision.refusal is not None:
            details = {"subscription_status": status}
            raise IllegalCommandError(decision.refusal, decision.refusal_code, details)
        new = NewSubscription(
            plan_id=subscription.plan_id,
            payment_method_id=wanted.payment_method_id,
            quantity=wanted.quantity or subscription.quantity,
        )
        buyer = Buyer(subscription.user_id, is_admin=caller.scope is None)
        replaced_id = subscription.subscription_id
        row = await start_subscription(
            temporal, sessions, claim.resource_id, buyer, new, replaced_id
        )
        return SubscriptionOut.of(row, now())

    return await once.run(caller.user_id, work, status=202, location="subscription_id")


@router.get("", responses=problems(no_such("user")))
async def list_subscriptions(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    subscription_status: SubscriptionStatus | None = None,
    is_parked: bool | None = None,
) -> Listing[SubscriptionOut]:
    """List subscriptions, newest first."""
    async with sessions() as session:
        page = await SubscriptionRepository(session).list(
            scope,
            paging.limit,
            paging.cursor,
            {"subscription_status": subscription_status},
            is_parked=is_parked,
        )
    at = now()
    return Listing[SubscriptionOut].of(page, lambda row: SubscriptionOut.of(row, at))


@router.get("/{subscription_id}", responses=problems(no_such("subscription")))
async def get_subscription(subscription: OwnDep) -> SubscriptionOut:
    """Return a subscription."""
    return SubscriptionOut.of(subscription, now())


@router.get("/{subscription_id}/events", responses=problems(no_such("subscription")))
async def list_subscription_events(
    subscription: OwnDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[SubscriptionEventOut]:
    """List events, oldest first. `cursor` is the number of the last event seen."""
    after = read_seq(paging.cursor)
    async with sessions() as session:
        rows = await SubscriptionEventRepository(session).list(
            subscription.subscription_id,
            after,
            paging.limit + 1,
        )
    shown = rows[: paging.limit]
    return Listing[SubscriptionEventOut](
        items=[_event(row) for row in shown],
        next_cursor=str(shown[-1].seq) if len(rows) > paging.limit else None,
    )


@router.get("/{subscription_id}/invoices", responses=problems(no_such("subscription")))
async def list_subscription_invoices(
    subscription: OwnDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[InvoiceOut]:
    """List invoices, newest first."""
    async with sessions() as session:
        repository = InvoiceRepository(session)
        page = await repository.list(subscription.subscription_id, paging.limit, paging.cursor)
    return Listing[InvoiceOut].of(page, InvoiceOut.model_validate)


@router.get("/{subscription_id}/explain", responses=problems(no_such("subscription")))
async def explain_subscription(
    subscription: OwnDep, caller: CallerDep, sessions: SessionsDep
) -> ExplanationOut:
    """Explain the status of a subscription: what led to it, and what happens next.

    Administrators also get the ids that belong to it.
    """
    return await explain_row(sessions, subscription, is_for_admin=caller.scope is None)


async def read_subscription(
    sessions: Sessions,
    subscription_id: UUID,
    user_id: UUID | None,
) -> Subscription:
    """Return a subscription of a user; None for any owner."""
    async with sessions() as session:
        row = await SubscriptionRepository(session).get(subscription_id, user_id)
    return or_404(row, "subscription")


def _event(row: SubscriptionEvent) -> SubscriptionEventOut:
    return SubscriptionEventOut(
        seq=row.seq,
        kind=row.kind,
        occurred_at=row.occurred_at,
        summary=row.summary,
        data=row.event_data,
    )
