"""Routes for commands about trials and the first payment of subscriptions."""

from datetime import timedelta

from fastapi.responses import JSONResponse

from api.deps import AdminDep
from api.http.routing import ApiRouter
from api.lookup import now
from api.openapi.problems import ADMIN_REQUIRED, CHARGE_DECLINED, TRIAL_END_NOT_LATER, invalid
from api.routes.subscription_commands import SenderDep, command_problems
from api.schemas.subscriptions import ExtendTrialIn, SubscriptionOut
from domain.subscriptions.lifecycle import CommandKind, SubscriptionStatus

# Stripe's own limit.
LONGEST_TRIAL = timedelta(days=730)

router = ApiRouter(prefix="/subscriptions", tags=["subscriptions"])


@router.post(
    "/{subscription_id}/confirm",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.ACTIVE, CHARGE_DECLINED),
)
async def confirm_subscription(sender: SenderDep) -> JSONResponse:
    """Look the first payment up, after the customer has authenticated it (3-D Secure).

    The answer is the new state. While the customer still has to act, it is `incomplete` with
    `next_action_url`; if the bank refused, the answer is 402.
    """
    return await sender.send(CommandKind.CONFIRM)


@router.post(
    "/{subscription_id}/extend-trial",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.ACTIVE, ADMIN_REQUIRED, TRIAL_END_NOT_LATER),
)
async def extend_subscription_trial(
    body: ExtendTrialIn,
    admin: AdminDep,  # noqa: ARG001 - refuses everybody else
    sender: SenderDep,
) -> JSONResponse:
    """Let a trial end later. Administrators only."""
    if not now() < body.trial_end <= now() + LONGEST_TRIAL:
        raise invalid(("body.trial_end", "it must be in the future, at most 730 days ahead"))
    trial_end = body.trial_end.replace(microsecond=0)
    return await sender.send(CommandKind.EXTEND_TRIAL, trial_end=trial_end)


@router.post(
    "/{subscription_id}/end-trial",
    response_model=SubscriptionOut,
    responses=command_problems(SubscriptionStatus.ACTIVE, CHARGE_DECLINED),
)
async def end_subscription_trial(sender: SenderDep) -> JSONResponse:
    """End a trial now, and charge the first period at once.

    If the charge is declined, the answer is 402 and the trial goes on. Without a card the
    subscription is `paused` instead.
    """
    return await sender.send(CommandKind.END_TRIAL)
