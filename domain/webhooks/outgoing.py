"""Webhooks that go out to endpoints: event types, retries, secrets and bodies. Pure."""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.base import Frozen
from domain.notifications import MailKind, NewMail
from domain.payment_retries.lifecycle import RetryStatus
from domain.payments.rules import PaymentStatus
from domain.subscriptions.lifecycle import SubscriptionStatus

# Reason: invoices have Stripe's statuses, and the area of agents is not imported here.
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "subscription": tuple(SubscriptionStatus),
    "invoice": ("draft", "open", "paid", "uncollectible", "void"),
    "payment": tuple(PaymentStatus),
    "payment_retry": tuple(RetryStatus),
    "agent_run": (
        "queued",
        "running",
        "waiting_approval",
        "waiting_input",
        "waiting_budget",
        "completed",
        "failed",
        "canceled",
        "budget_exceeded",
    ),
}
# Kinds of a subscription's events that are told although its row does not change.
_NOTICES = ("trial_will_end", "grace_ended", "resume_failed")
EVENT_TYPES = (
    *(
        f"{family}.{name}"
        for family, statuses in _STATUSES.items()
        for name in ("created", "updated", *statuses)
    ),
    *(f"subscription.{kind}" for kind in _NOTICES),
    "usage.alert",
)
# What `event_types` of an endpoint may hold.
EVENT_FILTERS = ("*", *(f"{family}.*" for family in (*_STATUSES, "usage")), *EVENT_TYPES)
# Sent on request only, to one endpoint, whatever its filters.
TEST_EVENT_TYPE = "webhook_endpoint.test"

# Waits between the attempts at one delivery: a little more than three days in all.
BACKOFF = (
    timedelta(seconds=1),
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=18),
    timedelta(hours=22, minutes=30),
)
# How much longer than in `BACKOFF` a wait may be, so that endpoints are not all called at once.
JITTER = 0.1
# How long an endpoint may fail, without one success, before it is switched off.
SWITCH_OFF_AFTER = timedelta(days=3)
# Requests to one endpoint at the same time.
MAX_CONCURRENT_COUNT = 8
GONE = 410

_SECRET_PREFIX = "whsec_"  # noqa: S105 - a public prefix
_SECRET_BYTES = 32


class DeliveryStatus(StrEnum):
    """The status of a delivery; a `dropped` one is not tried again unless it is redelivered."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DROPPED = "dropped"


class EndpointStart(Frozen):
    """Input of the workflow of an endpoint."""

    webhook_endpoint_id: UUID


class DeliverInput(Frozen):
    """Input of `deliver_webhooks`.

    Args:
        webhook_endpoint_id: Endpoint to deliver to.
        now: Time of the workflow, by which deliveries are due.
    """

    webhook_endpoint_id: UUID
    now: datetime


class DeliveryProgress(Frozen):
    """Result of `deliver_webhooks`: what is left to do.

    Args:
        delivered_count: Deliveries that succeeded.
        failed_count: Attempts that failed.
        pending_count: Resources with pending deliveries.
        next_attempt_at: When the next delivery is due; None if none is pending.
    """

    delivered_count: int = 0
    failed_count: int = 0
    pending_count: int = 0
    next_attempt_at: datetime | None = None


def make_secret() -> str:
    """Return a new secret in the form of Standard Webhooks."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def message_id(webhook_message_id: UUID) -> str:
    """Return the id of a message, which is the same on every attempt and at every endpoint."""
    return f"msg_{webhook_message_id.hex}"


def next_attempt_at(attempt_count: int, now: datetime, jitter: float) -> datetime | None:
    """Return when a failed delivery is tried again.

    Args:
        attempt_count: Attempts so far.
        now: Time of the last attempt.
        jitter: Number from 0 to 1 that lengthens the wait.

    Returns:
        The time; None if the delivery is dropped.
    """
    if attempt_count > len(BACKOFF):
        return None
    return now + BACKOFF[attempt_count - 1] * (1 + JITTER * jitter)


def is_failing_too_long(failing_since: datetime, now: datetime) -> bool:
    """Tell whether an endpoint has failed so long that it is switched off."""
    return now - failing_since >= SWITCH_OFF_AFTER


def switched_off_mail(
    webhook_endpoint_id: UUID, user_id: UUID, url: str, failing_since: datetime, now: datetime
) -> NewMail:
    """Return the mail to the administrator of an endpoint that is switched off.

    Args:
        webhook_endpoint_id: The endpoint.
        user_id: The administrator.
        url: Address of the endpoint.
        failing_since: First failure since the last success.
        now: When it is switched off.
    """
    return NewMail(
        message_key=f"webhook-endpoint-off:{webhook_endpoint_id}:{now.isoformat()}",
        user_id=user_id,
        mail_kind=MailKind.WEBHOOK_ENDPOINT_OFF,
        variables={"url": url, "failing_since": failing_since.isoformat()},
    )


def render_body(event_type: str, occurred_at: datetime, seq: int, facts: Mapping[str, Any]) -> str:
    """Return the body of a message.

    Args:
        event_type: Type of the event.
        occurred_at: When the event was recorded.
        seq: Number of the event within its resource.
        facts: Facts about the resource.
    """
    body = {
        "type": event_type,
        "timestamp": occurred_at.isoformat(),
        "data": {"seq": seq, **facts},
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
