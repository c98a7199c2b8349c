"""Counts and finds parked steps of subscriptions, payment retries and payments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, TableValuedAlias, column, exists, func, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from database.base import NOTHING_PARKED
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment
from database.subscriptions.models import Subscription
from domain.parked_steps import ParkableResource

_Model = type[Subscription] | type[PaymentRetry] | type[Payment]
_MODELS: Mapping[ParkableResource, _Model] = {
    ParkableResource.SUBSCRIPTION: Subscription,
    ParkableResource.PAYMENT_RETRY: PaymentRetry,
    ParkableResource.PAYMENT: Payment,
}
_KEYS: Mapping[ParkableResource, Any] = {
    ParkableResource.SUBSCRIPTION: Subscription.subscription_id,
    ParkableResource.PAYMENT_RETRY: PaymentRetry.payment_retry_id,
    ParkableResource.PAYMENT: Payment.payment_id,
}


class ParkedCount(NamedTuple):
    """Number of parked steps of one kind of resource.

    Args:
        resource: Kind of resource.
        step_count: Number of parked steps.
        oldest_since: When the oldest of them was parked; None if there is none.
    """

    resource: ParkableResource
    step_count: int
    oldest_since: datetime | None


class ParkedRow(NamedTuple):
    """A resource with a parked step."""

    resource_id: UUID
    workflow_id: str


async def count_parked(session: AsyncSession) -> Sequence[ParkedCount]:
    """Count parked steps by kind of resource, by means of the partial indexes."""
    counts = []
    for resource, model in _MODELS.items():
        steps = _steps(model)
        since = _fact(steps, "since").cast(DateTime(timezone=True))
        statement = (
            select(func.count(), func.min(since))
            .select_from(model)
            .join(steps, true())
            .where(model.parked_data != NOTHING_PARKED)
        )
        counts.append(ParkedCount(resource, *(await session.execute(statement)).one()))
    return counts


async def parked_by_other_releases(
    session: AsyncSession,
    resource: ParkableResource,
    release: str,
    after: UUID | None,
    limit: int,
) -> Sequence[ParkedRow]:
    """Return resources with a step that another release parked.

    Args:
        session: Database session.
        resource: Kind of resource.
        release: The current release.
        after: Last id of the previous page; None for the first page.
        limit: Most rows of the page.

    Returns:
        One page, ordered by id.
    """
    model, key = _MODELS[resource], _KEYS[resource]
    steps = _steps(model)
    of_others = select(steps).where(_fact(steps, "release").is_distinct_from(release))
    statement = (
        select(key, model.workflow_id)
        .where(model.parked_data != NOTHING_PARKED, exists(of_others.correlate(model)))
        .order_by(key)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(key > after)
    return [ParkedRow(*row) for row in await session.execute(statement)]


def _steps(model: _Model) -> TableValuedAlias:
    """Return the entries of a row's `parked_data` as a table."""
    return func.jsonb_array_elements(model.parked_data).table_valued(
        column("value", JSONB),
        name="step",
    )


def _fact(steps: TableValuedAlias, name: str) -> ColumnElement[str]:
    """Return a field of a parked step, which a subscription stores within its owed step."""
    entry = steps.c.value
    return func.coalesce(entry["parked"][name].astext, entry[name].astext)
