"""Decides whether a user may begin a run, by their access and their plans' limits."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun
from database.usage.sums import AGENT_RUN, SETTLED
from database.usage.usage_records import UsageRepository
from domain.errors import (
    EntitlementRequiredError,
    InvalidInputError,
    LimitReachedError,
    NotFoundError,
)
from domain.ids import agent_run_workflow_id
from domain.plans import Limit, LimitWindow
from domain.subscriptions.lifecycle import Access
from domain.usage.windows import MetricUsage
from services.subscriptions.entitlements import UserEntitlements
from services.usage.entitlements import read_entitlements

_WINDOW_TEXTS = {
    LimitWindow.HOUR: "in this hour",
    LimitWindow.DAY: "on this day",
    LimitWindow.PERIOD: "in this period",
}


async def check_admission(session: AsyncSession, user_id: UUID, at: datetime) -> UserEntitlements:
    """Check that a user may begin a run now, and return the user's entitlements.

    Raises:
        NotFoundError: There is no such active user.
        EntitlementRequiredError: No subscription gives access.
        LimitReachedError: The plans' limits are used up.
    """
    found = await read_entitlements(session, user_id, at)
    if found is None:
        raise NotFoundError("there is no such user")
    if found.current.entitlements.access is Access.NONE:
        raise access_required_error()
    for usage in found.metrics:
        if usage.limit is not None and usage.is_used_up:
            raise _limit_error(usage, usage.limit)
    return found.current


async def record_run(session: AsyncSession, run: AgentRun, at: datetime) -> None:
    """Record an admitted run in the usage; idempotent, within the caller's transaction.

    Args:
        session: The caller's transaction.
        run: The run.
        at: Time for which the run was admitted, and in whose hour and day it counts.
    """
    settled_at = datetime.now(UTC)
    values = place_of(run) | {
        "usage_kind": AGENT_RUN,
        "usage_status": SETTLED,
        "source_key": f"{agent_run_workflow_id(run.agent_run_id)}:run",
        "created_at": at,
        "settled_at": settled_at,
        "review_due_at": settled_at if run.subscription_id else None,
    }
    await UsageRepository(session).add(values)


def place_of(run: AgentRun) -> dict[str, object]:
    """Return the columns that say which user and period a run's usage is booked on."""
    return {
        "user_id": run.user_id,
        "agent_run_id": run.agent_run_id,
        "subscription_id": run.subscription_id,
        "period_start": run.period_start,
    }


def no_batches_error(provider: str) -> InvalidInputError:
    """Return the error for a run by batches whose models' provider has none that can be used.

    Args:
        provider: Name of the provider in the settings.
    """
    return InvalidInputError(
        f"the models' provider {provider} has no batches that can be used",
        "batches_unsupported",
        {"provider": provider},
    )


def access_required_error() -> EntitlementRequiredError:
    """Build the error for a user without access; its details name the next action."""
    return EntitlementRequiredError(
        "none of your subscriptions gives access",
        details={"do": "POST /api/v1/subscriptions"},
    )


def _limit_error(usage: MetricUsage, limit: Limit) -> LimitReachedError:
    window = _WINDOW_TEXTS[limit.per]
    return LimitReachedError(
        f"the plan's limit of {limit.count} ({usage.metric}) is used up {window}",
        details={
            "limit": usage.metric,
            "limit_value": limit.count,
            "per": limit.per,
            "resets_at": usage.resets_at.isoformat() if usage.resets_at else None,
        },
    )
