"""Finds cards of subscribers that expire soon."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.payments.models import PaymentMethod
from database.subscriptions.models import Subscription
from domain.subscriptions.lifecycle import FINAL


async def expiring_cards(
    session: AsyncSession, today: date, within: timedelta
) -> Sequence[PaymentMethod]:
    """Return the default cards of users with a subscription that expire soon.

    Args:
        session: Session to read with.
        today: Date by our clock; a card is valid to the end of its month.
        within: How soon.
    """
    year, month = cast(PaymentMethod.exp_year, Integer), cast(PaymentMethod.exp_month, Integer)
    ends_at = func.make_date(year, month, 1) + func.make_interval(0, 1)
    has_subscription = (
        select(Subscription.subscription_id)
        .where(
            Subscription.user_id == PaymentMethod.user_id,
            Subscription.subscription_status.not_in(FINAL),
        )
        .exists()
    )
    statement = select(PaymentMethod).where(
        PaymentMethod.is_default,
        PaymentMethod.detached_at.is_(None),
        PaymentMethod.exp_month.between(1, 12),
        PaymentMethod.exp_year.between(today.year - 1, today.year + 1),
        ends_at > today,
        ends_at <= today + within,
        has_subscription,
    )
    return (await session.scalars(statement)).all()
