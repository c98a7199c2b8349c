"""Decides whether a user may begin a run, by their access and their plans' limits."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.models import AgentRun
from database.agents.usage_records import AGENT_RUN, SETTLED, UsageRepository
from domain.agents.budgets import Allowance
from domain.agents.runs import UsageTotal
from domain.errors import EntitlementRequiredError, LimitReachedError
from domain.ids import agent_run_workflow_id
from domain.subscriptions.entitlements import Entitlements
from domain.subscriptions.lifecycle import Access
from services.subscriptions.entitlements import UserEntitlements, user_entitlements

_LIMITS = ("agent_run_count", "token_count", "cost_cents")


async def check_admission(session: AsyncSession, user_id: UUID, at: datetime) -> UserEntitlements:
    """Check that a user may begin a run now, and return the user's entitlements.

    Raises:
        EntitlementRequiredError: No subscription gives access.
        LimitReachedError: The plans' limits are used up.
    """
    usage = UsageRepository(session)
    current = await user_entitlements(session, user_id, at)
    used, held = await usage.used_in(current.periods), await usage.held_in(current.periods)
    _refuse(current.entitlements, used, held)
    return current


async def record_run(session: AsyncSession, run: AgentRun) -> None:
    """Record an admitted run in the usage; idempotent, within the caller's transaction."""
    values = place_of(run) | {
        "usage_kind": AGENT_RUN,
        "usage_status": SETTLED,
        "source_key": f"{agent_run_workflow_id(run.agent_run_id)}:run",
        "settled_at": datetime.now(UTC),
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


def access_required_error() -> EntitlementRequiredError:
    """Build the error for a user without access; its details name the next action."""
    return EntitlementRequiredError(
        "none of your subscriptions gives access",
        details={"do": "POST /api/v1/subscriptions"},
    )


def _refuse(entitlements: Entitlements, used: UsageTotal, held: Allowance) -> None:
    if entitlements.access is Access.NONE:
        raise access_required_error()
    used_by_limit = {
        "agent_run_count": used.agent_run_count,
        "token_count": held.token_count or 0,
        "cost_cents": held.cost_cents or 0,
    }
    for name in _LIMITS:
        limit = entitlements.limits.get(name)
        if limit is not None and used_by_limit[name] >= limit:
            resets_at = entitlements.resets_at
            raise LimitReachedError(
                f"the plan's limit of {limit} ({name}) is used up in this period",
                details={
                    "limit": name,
                    "limit_value": limit,
                    "resets_at": resets_at.isoformat() if resets_at else None,
                },
            )
