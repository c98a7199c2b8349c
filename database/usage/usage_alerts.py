"""Repository of usage alerts; the caller owns the transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.usage.models import UsageAlert
from domain.usage.alerts import NewUsageAlert


async def record_usage_alert(session: AsyncSession, user_id: UUID, alert: NewUsageAlert) -> bool:
    """Record that a share of a limit was used, once for each metric, window and share.

    Args:
        session: The caller's transaction; what tells the user of the alert belongs in it too.
        user_id: User whose limit it is.
        alert: What was used.

    Returns:
        Whether the alert is new.
    """
    statement = (
        insert(UsageAlert)
        .values(user_id=user_id, **alert.model_dump())
        .on_conflict_do_nothing()
        .returning(UsageAlert.usage_alert_id)
    )
    return await session.scalar(statement) is not None


async def newest_alerts(session: AsyncSession, user_id: UUID, count: int) -> Sequence[UsageAlert]:
    """Return the newest alerts of a user, newest first."""
    statement = (
        select(UsageAlert)
        .where(UsageAlert.user_id == user_id)
        .order_by(UsageAlert.created_at.desc(), UsageAlert.usage_alert_id.desc())
        .limit(count)
    )
    return (await session.scalars(statement)).all()
