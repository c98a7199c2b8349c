"""Reads what happened to one customer from all tables, in order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from database.accounts.models import User
from database.agents.models import AgentRun, Approval, ToolCall
from database.payment_retries.models import PaymentAttempt, PaymentRetry
from database.payments.models import Payment, PaymentMethod, Refund
from database.subscriptions.models import Invoice, Subscription, SubscriptionEvent
from domain.timeline import TimelineKind

# Reason: each of these has an entry with more facts, its row in `payment_attempts`.
_TOLD_BY_ATTEMPTS = ("retry_paid", "retry_failed")
_Entry = tuple[datetime, str, UUID, UUID, dict[str, Any]]


class TimelineEntry(NamedTuple):
    """One thing that happened; `row_data` has the columns that its sentence is made of."""

    seq: int
    occurred_at: datetime
    kind: str
    resource_id: UUID
    row_data: dict[str, Any]


async def read_timeline(
    session: AsyncSession, user_id: UUID, after: int, limit: int
) -> Sequence[TimelineEntry]:
    """Return what happened to a customer, oldest first.

    Args:
        session: Database session.
        user_id: The customer.
        after: Number of the entry after which to begin; 0 for the beginning.
        limit: Most entries.

    Returns:
        Entries, numbered from 1 in the order of their times.
    """
    branches = (
        *_of_account(user_id),
        *_of_money(user_id),
        *_of_runs(user_id),
    )
    entries = union_all(*branches).subquery()
    columns = entries.c
    seq = func.row_number().over(order_by=(columns.occurred_at, columns.row_id, columns.kind))
    numbered = select(
        seq.label("seq"),
        columns.occurred_at,
        columns.kind,
        columns.resource_id,
        columns.row_data,
    ).subquery()
    statement = select(numbered).where(numbered.c.seq > after).order_by(numbered.c.seq).limit(limit)
    return [TimelineEntry(*row) for row in await session.execute(statement)]


def _branch(
    at: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    kind: ColumnElement[str] | InstrumentedAttribute[str] | TimelineKind,
    ids: tuple[InstrumentedAttribute[UUID], InstrumentedAttribute[UUID]],
    *columns: InstrumentedAttribute[Any],
) -> Select[_Entry]:
    """Select the entries of one kind.

    Args:
        at: When each happened; entries without a time are left out.
        kind: Kind of the entries.
        ids: Primary key of the entry's row, and the id of the resource that it is about.
        columns: What the entry's sentence is made of.
    """
    pairs = [part for column in columns for part in (literal(column.key), column)]
    row_id, resource_id = ids
    return select(
        at.label("occurred_at"),
        (literal(kind.value) if isinstance(kind, TimelineKind) else kind).label("kind"),
        row_id.label("row_id"),
        resource_id.label("resource_id"),
        func.jsonb_build_object(*pairs).label("row_data"),
    ).where(at.is_not(None))


def _of_account(user_id: UUID) -> tuple[Select[_Entry], ...]:
    card = (PaymentMethod.payment_method_id, PaymentMethod.payment_method_id)
    shown = (PaymentMethod.brand, PaymentMethod.last4)
    added = _branch(PaymentMethod.created_at, TimelineKind.PAYMENT_METHOD_ADDED, card, *shown)
    removed = _branch(PaymentMethod.detached_at, TimelineKind.PAYMENT_METHOD_REMOVED, card, *shown)
    made = _branch(User.created_at, TimelineKind.USER_CREATED, (User.user_id, User.user_id))
    return (
        made.where(User.user_id == user_id),
        added.where(PaymentMethod.user_id == user_id),
        removed.where(PaymentMethod.user_id == user_id),
    )


def _of_money(user_id: UUID) -> tuple[Select[_Entry], ...]:
    events = _branch(
        SubscriptionEvent.occurred_at,
        SubscriptionEvent.kind,
        (SubscriptionEvent.subscription_event_id, SubscriptionEvent.subscription_id),
        SubscriptionEvent.summary,
    ).join(Subscription, Subscription.subscription_id == SubscriptionEvent.subscription_id)
    payments = _branch(
        Payment.created_at,
        TimelineKind.PAYMENT,
        (Payment.payment_id, Payment.payment_id),
        Payment.amount_cents,
        Payment.currency_code,
        Payment.payment_status,
        Payment.decline_code,
    )
    refunds = _branch(
        Refund.created_at,
        TimelineKind.REFUND,
        (Refund.refund_id, Refund.payment_id),
        Refund.amount_cents,
        Refund.currency_code,
        Refund.reason,
        Refund.refund_status,
    ).join(Payment, Payment.payment_id == Refund.payment_id)
    return (
        events.where(
            Subscription.user_id == user_id,
            SubscriptionEvent.kind.not_in(_TOLD_BY_ATTEMPTS),
        ),
        payments.where(Payment.user_id == user_id),
        refunds.where(Payment.user_id == user_id),
        _attempts().where(PaymentRetry.user_id == user_id),
    )


def _attempts() -> Select[_Entry]:
    attempts = _branch(
        PaymentAttempt.attempted_at,
        TimelineKind.PAYMENT_ATTEMPT,
        (PaymentAttempt.payment_attempt_id, PaymentAttempt.payment_retry_id),
        PaymentAttempt.attempt,
        PaymentAttempt.trigger,
        PaymentAttempt.outcome,
        PaymentAttempt.decline_code,
        PaymentRetry.stripe_invoice_id,
        Invoice.amount_due_cents,
        Invoice.currency_code,
    )
    is_its_retry = PaymentRetry.payment_retry_id == PaymentAttempt.payment_retry_id
    is_its_invoice = Invoice.stripe_invoice_id == PaymentRetry.stripe_invoice_id
    return attempts.join(PaymentRetry, is_its_retry).outerjoin(Invoice, is_its_invoice)


def _of_runs(user_id: UUID) -> tuple[Select[_Entry], ...]:
    run = (AgentRun.agent_run_id, AgentRun.agent_run_id)
    begun = _branch(AgentRun.created_at, TimelineKind.AGENT_RUN_CREATED, run, AgentRun.agent)
    ended = _branch(
        AgentRun.completed_at,
        TimelineKind.AGENT_RUN_ENDED,
        run,
        AgentRun.agent,
        AgentRun.run_status,
        AgentRun.error_code,
    )
    approval = (Approval.approval_id, Approval.agent_run_id)
    requested = _branch(
        Approval.created_at, TimelineKind.APPROVAL_REQUESTED, approval, ToolCall.tool
    )
    decided = _branch(
        Approval.decided_at,
        TimelineKind.APPROVAL_DECIDED,
        approval,
        ToolCall.tool,
        Approval.approval_status,
    )
    return (
        begun.where(AgentRun.user_id == user_id),
        ended.where(AgentRun.user_id == user_id),
        *(
            asked.join(ToolCall, ToolCall.call_id == Approval.call_id)
            .join(AgentRun, AgentRun.agent_run_id == Approval.agent_run_id)
            .where(AgentRun.user_id == user_id)
            for asked in (requested, decided)
        ),
    )
