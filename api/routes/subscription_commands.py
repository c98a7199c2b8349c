"""Routes for commands to subscriptions: cancel, pause, change the card, retry parked steps."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends
from fastapi.responses import JSONResponse
from temporalio.client import Client

from adapters.temporal.calls import (
    CALL_TIMEOUT,
    CANCEL_TIMEOUT,
    naming_pending,
    restart_workflow,
)
from api.commands import send_command
from api.deps import AdminDep, Caller, CallerDep, SessionsDep, TemporalDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep, IdempotentRequest
from api.lookup import now, or_404
from api.openapi.problems import (
    ADMIN_REQUIRED,
    CARD_DECLINED,
    CHARGE_DECLINED,
    MANAGED_AT_STRIPE,
    PAYMENT_DUE,
    STRIPE_REJECTED,
    TEMPORAL_DOWN,
    Responses,
    illegal,
    invalid,
    no_such,
    pending,
    problems,
)
from api.routes.subscriptions import OwnDep, read_subscription
from api.schemas.subscriptions import (
    CancelSubscriptionIn,
    ChangePaymentMethodIn,
    PauseSubscriptionIn,
    SubscriptionOut,
)
from database.payments.payment_methods import PaymentMethodRepository
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.errors import (
    ApplicationError,
    IllegalCommandError,
    WorkflowMissingError,
)
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus, decide
from domain.subscriptions.messages import SubscriptionCommand
from domain.subscriptions.state import SubscriptionStart
from workflows.search_attributes import starting_attributes
from workflows.subscriptions.subscription import SubscriptionWorkflow

LONGEST_PAUSE = timedelta(days=731)
MakeCommand = Callable[[Claim], Awaitable[SubscriptionCommand]]

router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


@dataclass(frozen=True)
class CommandSender:
    """Sends commands to the mailbox of the subscription in the path, once per idempotency key."""

    subscription: Subscription
    caller: Caller
    sessions: Sessions
    temporal: Client
    once: IdempotentRequest

    async def send(
        self, kind: CommandKind, within: timedelta = CALL_TIMEOUT, **fields: object
    ) -> JSONResponse:
        """Send a command, and answer with the subscription as it is then.

        Args:
            kind: Kind of the command.
            within: How long to wait for the answer.
            **fields: Other fields of the command.
        """

        async def make(claim: Claim) -> SubscriptionCommand:
            return _command(claim, kind, fields)

        return await self.send_made(make, within)

    async def send_made(self, make: MakeCommand, within: timedelta = CALL_TIMEOUT) -> JSONResponse:
        """Send a command whose fields have to be looked up first."""

        async def work(claim: Claim) -> SubscriptionOut:
            command = await make(claim)
            return await send_and_read(
                self.temporal, self.sessions, self.subscription, command, within
            )

        return await self.once.run(self.caller.user_id, work)


def get_sender(
    subscription: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    once: IdempotentDep,
) -> CommandSender:
    """Return the sender of commands to the subscription in the path."""
    return CommandSender(subscription, caller, sessions, temporal, once)


SenderDep = Annotated[CommandSender, Depends(get_sender)]


def command_problems(status: SubscriptionStatus, *others: ApplicationError) -> Responses:
    """Return the responses that every command may have, and others.

    Args:
        status: A status in which the command is refused, for the example.
        *others: Errors of this command only.
    """
    return problems(
        *others,
        no_such("subscription"),
        illegal("subscription", "subscription_status", status),
        MANAGED_AT_STRIPE,
        STRIPE_REJECTED,
        pending("subscription_id"),
        TEMPORAL_DOWN,
    )


@router.post(
    "/{subscription_id}/cancel",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.CANCELED),
)
async def cancel_subscription(body: CancelSubscriptionIn, sender: SenderDep) -> JSONResponse:
    """Cancel at once, or at the end of the period.

    At once: retries stop, open invoices are voided, access ends, and unused time is refunded if
    asked for. At the end of the period nothing is charged any more, and `uncancel` takes it back.
    """
    if body.mode == "now":
        return await sender.send(CommandKind.CANCEL_NOW, CANCEL_TIMEOUT, refund=body.refund)
    return await sender.send(CommandKind.CANCEL_AT_PERIOD_END)


@router.post(
    "/{subscription_id}/uncancel",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.CANCELED),
)
async def uncancel_subscription(sender: SenderDep) -> JSONResponse:
    """Take back that the subscription ends at `cancel_at`. Without a planned end nothing changes.

    A change of plan that the cancel has given up is not restored.
    """
    return await sender.send(CommandKind.UNCANCEL)


@router.post(
    "/{subscription_id}/pause",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.PAUSED, PAYMENT_DUE),
)
async def pause_subscription(
    sender: SenderDep, body: PauseSubscriptionIn | None = None
) -> JSONResponse:
    """Pause: access ends at once, nothing is billed, and the unused time is credited.

    The credit is part of the invoice with which the subscription is resumed.
    """
    resume_at = body.resume_at if body else None
    if resume_at is not None and not now() < resume_at <= now() + LONGEST_PAUSE:
        raise invalid(("body.resume_at", "it must be in the future, at most two years ahead"))
    return await sender.send(CommandKind.PAUSE, resume_at=resume_at)


@router.post(
    "/{subscription_id}/resume",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.ACTIVE, CHARGE_DECLINED),
)
async def resume_subscription(sender: SenderDep) -> JSONResponse:
    """Resume a paused subscription: a new period begins, and is charged at once.

    If the charge is declined, the answer is 402 and the subscription stays paused. It also stays
    paused while the customer has to authenticate, at `next_action_url`.
    """
    return await sender.send(CommandKind.RESUME)


@router.post(
    "/{subscription_id}/payment-method",
    response_model=SubscriptionOut,
    responses=command_problems(
        SubscriptionStatus.CANCELED, CARD_DECLINED, no_such("payment method")
    ),
)
async def change_subscription_payment_method(
    body: ChangePaymentMethodIn, sender: SenderDep
) -> JSONResponse:
    """Pay with another card from now on. An unpaid invoice is tried on it at once.

    The first invoice is an exception: while the subscription is `incomplete`, the customer pays it
    on Stripe's page, at `next_action_url`.
    """

    async def make(claim: Claim) -> SubscriptionCommand:
        async with sender.sessions() as session:
            cards = PaymentMethodRepository(session)
            row = await cards.get(body.payment_method_id, sender.subscription.user_id)
        card = or_404(row, "payment method").stripe_payment_method_id
        fields = {"stripe_payment_method_id": card}
        return _command(claim, CommandKind.CHANGE_PAYMENT_METHOD, fields)

    return await sender.send_made(make)


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
    admin: AdminDep,  # noqa: ARG001 - refuses everybody else
    sender: SenderDep,
) -> JSONResponse:
    """Retry parked steps at once. Administrators only."""
    return await sender.send(CommandKind.RETRY_PARKED)


def _command(claim: Claim, kind: CommandKind, fields: Mapping[str, object]) -> SubscriptionCommand:
    return SubscriptionCommand.model_validate(
        {"command_id": claim.command_id, "kind": kind, **fields}
    )


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

    handle = temporal.get_workflow_handle(subscription.workflow_id)
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
