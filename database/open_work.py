"""Counts open work in the tables, and checks that the database answers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from database.accounts.models import IdempotencyKey
from database.agents.models import AgentRun
from database.base import NOTHING_PARKED
from database.knowledge.models import Document
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment, Refund
from database.subscriptions.models import Subscription
from database.usage.models import MeterEvent, UsageRecord
from database.webhooks.models import (
    IS_PENDING,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from domain.agents.runs import WAITING
from domain.knowledge.documents import DocumentStatus
from domain.payment_retries.lifecycle import RetryStatus
from domain.payments.rules import PaymentStatus, RefundStatus
from domain.subscriptions.lifecycle import FINAL
from domain.webhooks.events import WebhookEventStatus

# Reason: no client waits longer for an answer, and the row of a request that was refused with 422
# or 503 never gets one.
_OPEN_COMMAND_AGE = timedelta(seconds=20)
_OPEN_USAGE_AGE = timedelta(minutes=1)


class OpenWork(NamedTuple):
    """Counts of work that is not done, by kind."""

    inbox_count: int
    command_count: int
    charge_count: int
    run_count: int
    usage_count: int
    delivery_count: int


async def ping(session: AsyncSession) -> None:
    """Check that the database answers (`SELECT 1`)."""
    await session.execute(text("SELECT 1"))


async def open_work(session: AsyncSession) -> OpenWork:
    """Count open work in one query.

    Args:
        session: Database session.

    Returns:
        inbox_count: Webhook events that were received and not yet delivered.
        command_count: Subscriptions, payments and refunds that Stripe has not created yet, and
            POSTs with an idempotency key of the last 20 seconds that have no answer.
        charge_count: Payment retries that are charging or whose next charge is due.
        run_count: Agent runs that are running or queued, without those that wait for approval; and
            documents that are not ingested yet.
        usage_count: Usage of the last minute from which alerts and overage are not computed yet,
            and reports of overage that were not sent yet and did not fail.
        delivery_count: Webhooks that active endpoints have not got yet, also those that wait for
            their next attempt.
    """
    inbox = _count(
        WebhookEvent.webhook_event_id,
        WebhookEvent.webhook_event_status == WebhookEventStatus.RECEIVED,
    )
    charges = _count(
        PaymentRetry.payment_retry_id,
        (PaymentRetry.retry_status == RetryStatus.CHARGING)
        | (
            (PaymentRetry.retry_status == RetryStatus.WAITING)
            & (PaymentRetry.next_attempt_at <= func.now())
        ),
    )
    deliveries = _count(
        WebhookDelivery.webhook_delivery_id,
        IS_PENDING,
        WebhookDelivery.webhook_endpoint_id == WebhookEndpoint.webhook_endpoint_id,
        WebhookEndpoint.is_active.is_(True),
    )
    counts = (inbox, _open_commands(), charges, _open_runs(), _open_usage(), deliveries)
    row = await session.execute(select(*counts))
    return OpenWork(*row.one())


def _open_commands() -> ColumnElement[int]:
    return (
        _count(
            Subscription.subscription_id,
            Subscription.stripe_subscription_id.is_(None),
            Subscription.parked_data == NOTHING_PARKED,
            Subscription.subscription_status.not_in(FINAL),
        )
        + _count(
            Payment.payment_id,
            Payment.payment_status == PaymentStatus.PENDING,
            Payment.parked_data == NOTHING_PARKED,
        )
        + _count(
            Refund.refund_id,
            Refund.refund_status == RefundStatus.PENDING,
            Refund.stripe_refund_id.is_(None),
        )
        + _count(
            IdempotencyKey.idempotency_key_id,
            IdempotencyKey.answer_status_code.is_(None),
            IdempotencyKey.created_at > func.now() - _OPEN_COMMAND_AGE,
        )
    )


def _open_runs() -> ColumnElement[int]:
    is_not_waiting = AgentRun.run_status.not_in(WAITING)
    is_pending = Document.document_status == DocumentStatus.PENDING
    return _count(
        AgentRun.agent_run_id,
        AgentRun.completed_at.is_(None),
        is_not_waiting,
    ) + _count(Document.document_id, is_pending, Document.deleted_at.is_(None))


def _open_usage() -> ColumnElement[int]:
    # Reason: what fails is tried again for a day, and nobody should wait for that.
    is_recent = UsageRecord.settled_at > func.now() - _OPEN_USAGE_AGE
    is_untried = MeterEvent.error_code.is_(None)
    return _count(
        UsageRecord.usage_record_id, UsageRecord.review_due_at.is_not(None), is_recent
    ) + _count(MeterEvent.meter_event_id, MeterEvent.next_attempt_at.is_not(None), is_untried)


async def recently_active_workflow_ids(session: AsyncSession, within: timedelta) -> Sequence[str]:
    """Return the ids of workflows that recently got a webhook event or wrote a row.

    Args:
        session: Database session.
        within: How long ago at most.

    Returns:
        Workflow ids of subscriptions, payment retries and payments.
    """
    since = func.now() - within
    hinted = (
        select(Subscription.workflow_id)
        .join(WebhookEvent, WebhookEvent.subscription_id == Subscription.subscription_id)
        # Reason: only `received_at` has an index; events hardly ever wait longer than an hour.
        .where(WebhookEvent.received_at > since - timedelta(hours=1))
        .where(WebhookEvent.delivered_at > since)
    )
    subscriptions = select(Subscription.workflow_id).where(Subscription.updated_at > since)
    payment_retries = select(PaymentRetry.workflow_id).where(PaymentRetry.updated_at > since)
    parents = (
        select(Subscription.workflow_id)
        .join(PaymentRetry, PaymentRetry.subscription_id == Subscription.subscription_id)
        .where(PaymentRetry.updated_at > since)
    )
    hinted_payments = (
        select(Payment.workflow_id)
        .join(WebhookEvent, WebhookEvent.payment_id == Payment.payment_id)
        .where(WebhookEvent.received_at > since - timedelta(hours=1))
        .where(WebhookEvent.delivered_at > since)
    )
    payments = select(Payment.workflow_id).where(Payment.updated_at > since)
    known = union(
        hinted, subscriptions, payment_retries, parents, hinted_payments, payments
    ).subquery()
    # Reason: the payment of an invoice has no workflow until its refund is requested.
    statement = select(known.c.workflow_id).where(known.c.workflow_id.is_not(None))
    return (await session.scalars(statement)).all()


def _count(key: InstrumentedAttribute[UUID], *where: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count(key)).where(*where).scalar_subquery()
