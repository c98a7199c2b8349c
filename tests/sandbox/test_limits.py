"""Idempotency keys at their edges, rate limits, and locks."""

import uuid
from collections.abc import Iterator

import httpx
import pytest
import stripe

from tests.sandbox.paying import AUTH
from tests.sandbox.servers import Sandbox

REASON = "stripe-rate-limited-reason"


def post(sandbox: Sandbox, key: str, **form: str) -> httpx.Response:
    headers = {**AUTH, "Idempotency-Key": key}
    return sandbox.http.post("/v1/customers", headers=headers, data=form)


@pytest.fixture
def limited(sandbox: Sandbox) -> Iterator[Sandbox]:
    yield sandbox
    sandbox.control("rate-limits", per_second=None)


def test_keys_have_a_length(sandbox: Sandbox) -> None:
    """Docs: /api/idempotent_requests"""
    assert post(sandbox, "k" * 200 + uuid.uuid4().hex).status_code == 200
    reply = post(sandbox, "k" * 256)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "idempotency_error")


def test_refusals_before_any_work_are_not_kept(sandbox: Sandbox) -> None:
    """Docs: /api/idempotent_requests"""
    key = uuid.uuid4().hex
    assert post(sandbox, key, colour="red").status_code == 400
    made = post(sandbox, key, name="Eve")
    again = post(sandbox, key, name="Eve")
    assert (made.status_code, again.json()["id"]) == (200, made.json()["id"])
    other = post(sandbox, key, name="Adam")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")


def test_refusals_of_the_work_are_kept(sandbox: Sandbox) -> None:
    """Docs: /api/idempotent_requests"""
    headers = {**AUTH, "Idempotency-Key": uuid.uuid4().hex}
    form = {"charge": "ch_missing"}
    first, again = (sandbox.http.post("/v1/refunds", headers=headers, data=form) for _ in range(2))
    assert (first.status_code, again.content) == (400, first.content)
    assert again.headers["idempotent-replayed"] == "true"


def test_keys_are_for_posts(sandbox: Sandbox) -> None:
    """Docs: /api/idempotent_requests"""
    headers = {**AUTH, "Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        reply = sandbox.http.get("/v1/balance", headers=headers)
        assert "idempotent-replayed" not in reply.headers
    assert sandbox.http.post("/v1/customers", headers=headers).status_code == 200


def test_too_many_calls_a_second(limited: Sandbox) -> None:
    """Docs: /rate-limits"""
    limited.control("rate-limits", per_second=3)
    keys = [uuid.uuid4().hex for _ in range(30)]
    replies = [post(limited, key) for key in keys]
    assert [reply.status_code for reply in replies[:3]] == [200] * 3
    key, refused = next(
        pair for pair in zip(keys, replies, strict=True) if pair[1].status_code == 429
    )
    assert refused.json()["error"]["code"] == "rate_limit"
    assert refused.headers[REASON] == "global-rate"
    with pytest.raises(stripe.RateLimitError):
        [limited.api.balance.retrieve() for _ in range(30)]
    limited.control("rate-limits", per_second=None)
    taken = post(limited, key)
    assert (taken.status_code, "idempotent-replayed" in taken.headers) == (200, False)


def test_strangers_are_refused_as_strangers(limited: Sandbox) -> None:
    limited.control("rate-limits", per_second=1)
    assert [limited.http.get("/v1/balance").status_code for _ in range(3)] == [401] * 3
    assert limited.http.post("/_sandbox/rate-limits", json={"per_second": 0}).status_code == 400


@pytest.mark.parametrize(
    ("code", "reason"), [("rate_limit", "global-rate"), ("lock_timeout", "resource-specific")]
)
def test_429_as_a_fault(code: str, reason: str, sandbox: Sandbox) -> None:
    """Docs: /rate-limits#object-lock-timeouts"""
    fault = {"match": "POST /v1/customers", "times": 1, "before": 429, "code": code}
    sandbox.control("faults", api=[fault])
    key = uuid.uuid4().hex
    refused = post(sandbox, key)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, code)
    assert (error["type"], refused.headers[REASON]) == ("invalid_request_error", reason)
    assert post(sandbox, key).status_code == 200
