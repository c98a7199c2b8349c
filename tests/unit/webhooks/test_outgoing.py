"""Rules of webhooks that go out."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from standardwebhooks import Webhook

from domain.agents.runs import RunStatus
from domain.payment_retries.lifecycle import RetryStatus
from domain.payments.rules import PaymentStatus
from domain.subscriptions.lifecycle import SubscriptionStatus
from domain.webhooks.outgoing import (
    BACKOFF,
    EVENT_FILTERS,
    EVENT_TYPES,
    SWITCH_OFF_AFTER,
    TEST_EVENT_TYPE,
    is_failing_too_long,
    make_secret,
    message_id,
    next_attempt_at,
    render_body,
)

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_each_status_has_a_type() -> None:
    families = {
        "subscription": SubscriptionStatus,
        "payment": PaymentStatus,
        "payment_retry": RetryStatus,
        "agent_run": RunStatus,
    }
    expected = {f"{name}.{status}" for name, statuses in families.items() for status in statuses}
    invoices = {
        f"invoice.{status}" for status in ("draft", "open", "paid", "uncollectible", "void")
    }
    changes = {
        f"{name}.{change}" for name in (*families, "invoice") for change in ("created", "updated")
    }
    notices = {
        f"subscription.{kind}" for kind in ("trial_will_end", "grace_ended", "resume_failed")
    }
    assert set(EVENT_TYPES) == expected | invoices | changes | notices | {"usage.alert"}
    assert len(set(EVENT_FILTERS)) == len(EVENT_FILTERS) == len(EVENT_TYPES) + len(families) + 3
    assert TEST_EVENT_TYPE not in EVENT_FILTERS


def test_attempts_are_spread_over_three_days() -> None:
    at, times = NOW, [NOW]
    while (after := next_attempt_at(len(times), at, jitter=0)) is not None:
        at = after
        times.append(at)
    assert len(times) == len(BACKOFF) + 1
    assert SWITCH_OFF_AFTER <= at - NOW < SWITCH_OFF_AFTER + timedelta(hours=1)
    assert times[1] - NOW == timedelta(seconds=1)
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits == sorted(waits)


def test_waits_get_longer_by_jitter_only() -> None:
    shortest, longest = next_attempt_at(3, NOW, 0), next_attempt_at(3, NOW, 1)
    assert shortest == NOW + timedelta(seconds=30)
    assert longest == NOW + timedelta(seconds=33)


def test_an_endpoint_may_fail_for_three_days() -> None:
    assert not is_failing_too_long(NOW, NOW + SWITCH_OFF_AFTER - timedelta(seconds=1))
    assert is_failing_too_long(NOW, NOW + SWITCH_OFF_AFTER)


def test_secrets_are_those_of_standard_webhooks() -> None:
    secret = make_secret()
    assert secret.startswith("whsec_")
    assert secret != make_secret()
    assert Webhook(secret).sign("msg_1", NOW, "{}").startswith("v1,")


def test_a_body_has_type_time_and_numbered_data() -> None:
    body = render_body("payment.succeeded", NOW, 7, {"payment_id": "p", "name": "Zoë"})
    assert json.loads(body) == {
        "type": "payment.succeeded",
        "timestamp": "2026-11-29T12:00:00+00:00",
        "data": {"seq": 7, "payment_id": "p", "name": "Zoë"},
    }
    assert "Zoë" in body


def test_the_id_of_a_message_has_no_dot() -> None:
    assert message_id(UUID(int=1)) == f"msg_{'0' * 31}1"
