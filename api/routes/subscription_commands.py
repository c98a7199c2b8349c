"""Routes for commands to subscriptions: cancel, change the card, retry parked steps."""

from datetime import timedelta

from fastapi.responses import JSONResponse
from temporalio.client import Client

from adapters.temporal.calls import (
    CALL_TIMEOUT,
    CANCEL_TIMEOUT,
    naming_pending,
    restart_workflow,
)
from api.commands import send_command
from api.deps import AdminDep, CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import now, or_404
from api.openapi.problems import (
    ADMIN_REQUIRED,
    CARD_DECLINED,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    illegal,
    no_such,
    pending,
    problems,
)
from api.routes.subscriptions import OwnDep, read_subscription
from api.schemas.subscriptions import (
    CancelSubscriptionIn,
    ChangePaymentMethodIn,
    SubscriptionOut,
)
from database.payments.payment_methods import PaymentMethodRepository
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.errors import (
    IllegalCommandError,
    WorkflowMissingError,
)
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, decide
from domain.subscriptions.messages import SubscriptionCommand
from domain.subscriptions.state import SubscriptionStart
from workflows.search_attributes import starting_attributes
from workflows.subscriptions.subscription import SubscriptionWorkflow

router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


@router.post(
    "/{subscription_id}/cancel",
    response_model=SubscriptionOut,
    responses=problems(
        no_such("subscription"),
        illegal("subscription", "subscription_status", "canceled"),
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def cancel_subscription(
    body: CancelSubscriptionIn,  # noqa: ARG001 - `now` is the only mode
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Cancel at once: retries stop, the open invoice is voided, access ends.

    Canceling at the end of the period is not supported yet.
    """

    async def work(claim: Claim) -> SubscriptionOut:
        command = SubscriptionCommand(command_id=claim.command_id, kind=CommandKind.CANCEL_NOW)
        return await send_and_read(temporal, sessions, subscription, command, CANCEL_TIMEOUT)

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/payment-method",
    response_model=SubscriptionOut,
    responses=problems(
        CARD_DECLINED,
        no_such("subscription"),
        no_such("payment method"),
        illegal("subscription", "subscription_status", "canceled"),
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def change_subscription_payment_method(
    body: ChangePaymentMethodIn,
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Pay with another card from now on. An unpaid invoice is tried on it at once.

    The first invoice is an exception: while the subscription is `incomplete`, the customer pays it
    on Stripe's page, at `next_action_url`.
    """

    async def work(claim: Claim) -> SubscriptionOut:
        async with sessions() as session:
            cards = PaymentMethodRepository(session)
            row = await cards.get(body.payment_method_id, subscription.user_id)
        command = SubscriptionCommand(
            command_id=claim.command_id,
            kind=CommandKind.CHANGE_PAYMENT_METHOD,
            stripe_payment_method_id=or_404(row, "payment method").stripe_payment_method_id,
        )
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(caller.user_id, work)


@router.post(
    "/{subscription_id}/retry-parked",
    response_model=SubscriptionOut,
    responses=problems(
        ADMIN_REQUIRED,
        no_such("subscription"),
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    ),
)
async def retry_parked_subscription(
    admin: AdminDep,
    subscription: OwnDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Retry parked steps at once. Administrators only."""

    async def work(claim: Claim) -> SubscriptionOut:
        command = SubscriptionCommand(command_id=claim.command_id, kind=CommandKind.RETRY_PARKED)
        return await send_and_read(temporal, sessions, subscription, command, CALL_TIMEOUT)

    return await once.run(admin.user_id, work)


async def send_and_read(
    temporal: Client,
    sessions: Sessions,
    subscription: Subscription,
    command: SubscriptionCommand,
    within: timedelta,
) -> SubscriptionOut:
    """Send a command to the mailbox, and return the state of the subscription afterwards."""

    async def refusal() -> IllegalCommandError | None:
        row = await read_subscription(sessions, subscription.subscription_id, None)
        decision = decide(
            SubscriptionStatus(row.subscription_status),
            command.kind,
            is_managed_at_stripe=row.is_managed_at_stripe,
        )
        if decision.refusal is None:
            return None
        state = {"subscription_status": row.subscription_status}
        return IllegalCommandError(decision.refusal, decision.refusal_code, state)

    handle = temporal.get_workflow_handle_for(SubscriptionWorkflow.run, subscription.workflow_id)
    update, command_id = SubscriptionWorkflow.command, command.command_id
    with naming_pending(subscription_id=subscription.subscription_id):
        try:
            await send_command(handle, update, command, command_id, refusal, within)
        except WorkflowMissingError:
            # Reason: the workflow was terminated; its state and its owed steps are in the row.
            await restart_workflow(
                temporal,
                SubscriptionWorkflow.run,
                SubscriptionStart.new(subscription.subscription_id),
                workflow_id=subscription.workflow_id,
                search_attributes=starting_attributes(
                    subscription.user_id,
                    subscription.subscription_id,
                ),
            )
            await send_command(handle, update, command, command_id, refusal, within)
    row = await read_subscription(sessions, subscription.subscription_id, None)
    return SubscriptionOut.of(row, now())
