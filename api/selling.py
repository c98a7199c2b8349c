"""The rules of selling: who may subscribe to what, in which currency, and with which trial."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.subscription_rows import already_subscribed
from api.lookup import found
from api.schemas.subscriptions import NewSubscription
from database.models import PaymentMethod, Plan
from database.payment_methods import PaymentMethodRepository
from database.plans import PlanRepository
from database.session import Sessions
from database.subscriptions import SubscriptionRepository
from domain.billing import SubscriptionRequest
from domain.errors import ConflictError, ForbiddenError


@dataclass(frozen=True)
class Buyer:
    """Whose a subscription is to be, and whether an administrator asks for it."""

    user_id: UUID
    is_admin: bool


async def resolve_subscription(
    sessions: Sessions,
    buyer: Buyer,
    wanted: NewSubscription,
) -> tuple[SubscriptionRequest, Plan]:
    """Look up everything that a new subscription goes by, so that no later try finds it otherwise.

    Args:
        sessions: Where to look.
        buyer: Who buys.
        wanted: What was asked for.

    Returns:
        The request for the mailbox, and the plan.

    Raises:
        NotFoundError: There is no such plan, or card, for this user.
        ConflictError: They have this plan already (`already_subscribed`), or are billed in another
            currency (`currency_mismatch`).
        ForbiddenError: Only an administrator gives such a trial (`admin_required`).
    """
    async with sessions() as session:
        known = await PlanRepository(session).get(wanted.plan_id)
        plan = found(known if known and known.is_active else None, "plan")
        cards = PaymentMethodRepository(session)
        chosen, default = None, await cards.default_of(buyer.user_id)
        if wanted.payment_method_id is not None:
            card = await cards.get(wanted.payment_method_id, buyer.user_id)
            chosen = found(card, "payment method")
        await _check_buyer(session, buyer.user_id, plan)
    _check_trial(buyer, wanted, plan)
    paying: PaymentMethod | None = chosen or default
    request = SubscriptionRequest(
        user_id=buyer.user_id,
        plan_id=plan.plan_id,
        stripe_price_id=plan.stripe_price_id,
        quantity=wanted.quantity,
        trial_days=plan.trial_days if wanted.trial_days is None else wanted.trial_days,
        is_trial_given=buyer.is_admin and wanted.trial_days is not None,
        is_stackable=plan.is_stackable,
        is_trial_once_per_card=plan.is_trial_once_per_card,
        has_card=paying is not None,
        stripe_payment_method_id=chosen.stripe_payment_method_id if chosen else None,
        card_fingerprint=paying.fingerprint if paying else None,
    )
    return request, plan


async def _check_buyer(session: AsyncSession, user_id: UUID, plan: Plan) -> None:
    repository = SubscriptionRepository(session)
    if not plan.is_stackable:
        # Reason: a courtesy. The row is written with the user locked, and asks again.
        live = await repository.live_of_plan(user_id, plan.plan_id)
        if live is not None:
            raise already_subscribed(live)
    others = list(await repository.live_currencies(user_id))
    if any(code != plan.currency_code for code in others):
        raise ConflictError(
            "a customer is billed in one currency",
            "currency_mismatch",
            {"currency_code": others[0], "plan_currency_code": plan.currency_code},
        )


def _check_trial(buyer: Buyer, wanted: NewSubscription, plan: Plan) -> None:
    is_longer = wanted.trial_days is not None and wanted.trial_days > plan.trial_days
    if is_longer and not buyer.is_admin:
        message = "only an administrator gives a longer trial than the plan's"
        raise ForbiddenError(message, "admin_required", {"trial_days": plan.trial_days})
