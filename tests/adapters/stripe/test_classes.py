"""Every answer that Stripe can give falls into one class: decline, outage, or refusal.

Sources: Stripe's pages on errors, on error codes and on idempotent requests. Only the issuer's word
counts as a failed charge; whatever says nothing about the request itself is an outage.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from domain.errors import (
    ApplicationError,
    CardDeclinedError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from tests.adapters.stripe.scenes import Adapters

DECLINE, OUTAGE, REFUSED, MISSING = (
    CardDeclinedError,
    ProviderUnavailableError,
    ProviderRejectedError,
    NotFoundError,
)
API, CARD, KEY, REQUEST = (
    "api_error",
    "card_error",
    "idempotency_error",
    "invalid_request_error",
)
HTML = "<html><body>Bad gateway</body></html>"
CLASSES = {OUTAGE: "outage", DECLINE: "decline", REFUSED: "rejection", MISSING: "rejection"}


class Answering(stripe.HTTPClient):
    """Gives one answer to everything."""

    name = "answering"

    def __init__(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._answer = body.encode(), status, headers or {}

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        return self._answer

    async def close_async(self) -> None:
        return


class Unreachable(Answering):
    """Cannot be reached."""

    def __init__(self) -> None:
        super().__init__(0, "")

    async def request_async(self, *args: Any, **kwargs: Any) -> Any:
        raise stripe.APIConnectionError("a timeout")  # type: ignore[no-untyped-call]


def error(type_: str | None, code: str | None = None, **more: Any) -> str:
    """Return an error's body as Stripe writes it: what is null is not there."""
    told = {"type": type_, "code": code, **more}
    return json.dumps({"error": {key: value for key, value in told.items() if value is not None}})


async def said(client: stripe.HTTPClient) -> ApplicationError:
    """Return the error that a charge is answered with."""
    with pytest.raises(ApplicationError) as caught:
        await Adapters(client).invoices.pay("in_1", "pm_1", "key:1")
    return caught.value


def counted(error_class: str) -> float:
    return REGISTRY.get_sample_value("stripe_errors_total", {"error_class": error_class}) or 0.0


TABLE = [
    (400, error(REQUEST), REFUSED),
    (400, error(REQUEST, "parameter_unknown", param="x"), REFUSED),
    (400, error(REQUEST, "parameter_missing"), REFUSED),
    (400, error(REQUEST, "invoice_not_editable"), REFUSED),
    (400, error(REQUEST, "payment_intent_unexpected_state"), REFUSED),
    (400, error(REQUEST, "charge_already_refunded"), REFUSED),
    (400, error(REQUEST, "amount_too_small"), REFUSED),
    (400, error(REQUEST, "resource_missing", param="payment_method"), MISSING),
    (400, error(KEY), REFUSED),
    (400, error(KEY, "idempotency_key_in_use"), OUTAGE),
    (400, error(REQUEST, "rate_limit"), OUTAGE),
    (400, error(REQUEST, "lock_timeout"), OUTAGE),
    (400, error(None), REFUSED),
    (401, error(REQUEST), OUTAGE),
    (401, error(REQUEST, "api_key_expired"), OUTAGE),
    (401, error("authentication_error"), OUTAGE),
    (402, error(CARD, "card_declined", decline_code="lost_card"), DECLINE),
    (402, error(CARD, "card_declined"), DECLINE),
    (402, error(CARD, "expired_card"), DECLINE),
    (402, error(CARD, "authentication_required"), DECLINE),
    (402, error(CARD), DECLINE),
    (402, error(REQUEST, "invoice_payment_intent_requires_action"), DECLINE),
    (403, error(REQUEST), OUTAGE),
    (403, error(REQUEST, "more_permissions_required"), OUTAGE),
    (403, error("permission_error"), OUTAGE),
    (404, error(REQUEST, "resource_missing"), MISSING),
    (404, error(REQUEST), MISSING),
    (408, error(API), OUTAGE),
    (409, error(KEY, "idempotency_key_in_use"), OUTAGE),
    (409, error(REQUEST, "lock_timeout"), OUTAGE),
    (409, error(API), OUTAGE),
    (424, error(API), OUTAGE),
    (429, error(REQUEST, "rate_limit"), OUTAGE),
    (429, error(REQUEST, "lock_timeout"), OUTAGE),
    (429, error(None), OUTAGE),
    (500, error(API), OUTAGE),
    (502, error(API), OUTAGE),
    (503, error(API), OUTAGE),
    (504, error(API), OUTAGE),
    (500, "{}", OUTAGE),
    # What stands between us and Stripe answers in its own words; they are not Stripe's.
    (200, HTML, OUTAGE),
    (301, HTML, OUTAGE),
    (400, HTML, OUTAGE),
    (401, HTML, OUTAGE),
    (402, HTML, OUTAGE),
    (403, HTML, OUTAGE),
    (404, HTML, OUTAGE),
    (404, "", OUTAGE),
    (404, '{"detail": "Not Found"}', OUTAGE),
    (407, HTML, OUTAGE),
    (413, HTML, OUTAGE),
    (429, HTML, OUTAGE),
    (502, HTML, OUTAGE),
    (503, "", OUTAGE),
    (504, "[]", OUTAGE),
]


@pytest.mark.parametrize(("status", "body", "kind"), TABLE)
@pytest.mark.parametrize("is_replayed", [False, True])
async def test_an_answer_s_class(
    status: int, body: str, kind: type[ApplicationError], *, is_replayed: bool
) -> None:
    headers = {"Idempotent-Replayed": "true"} if is_replayed else {}
    found = await said(Answering(status, body, headers))
    assert type(found) is kind
    if '"type"' in body:  # the SDK keeps the headers of Stripe's own errors only
        assert found.details["is_replayed"] is is_replayed
    assert found.is_retryable is (kind is OUTAGE)


@pytest.mark.parametrize(("status", "body", "kind"), TABLE)
async def test_an_answer_is_counted_by_its_class(
    status: int, body: str, kind: type[ApplicationError]
) -> None:
    is_key = status in {401, 403} and body != HTML
    name = "key_refused" if is_key else CLASSES[kind]
    before = counted(name)
    await said(Answering(status, body))
    assert counted(name) == before + 1


async def test_no_answer_is_an_outage() -> None:
    found = await said(Unreachable())
    assert type(found) is OUTAGE
    assert found.details["is_replayed"] is False


@pytest.mark.parametrize(
    ("told", "decline_code", "advice_code"),
    [
        ({"code": "card_declined", "decline_code": "lost_card"}, "lost_card", None),
        (
            {"code": "card_declined", "advice_code": "do_not_try_again"},
            "card_declined",
            "do_not_try_again",
        ),
        ({"code": "expired_card"}, "expired_card", None),
        ({"code": "card_declined", "decline_code": None}, "card_declined", None),
        ({}, "card_error", None),
    ],
)
async def test_a_decline_always_has_a_code(
    told: dict[str, Any], decline_code: str, advice_code: str | None
) -> None:
    body = json.dumps({"error": {"type": CARD, **told}})
    found = await said(Answering(402, body))
    assert found.details["decline_code"] == decline_code
    assert found.details["advice_code"] == advice_code


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "{}", '{"object": "list"}'])
async def test_an_answer_that_is_no_object_cannot_be_read(body: str) -> None:
    with pytest.raises((UnreadableAnswerError, ProviderUnavailableError)):
        await Adapters(Answering(200, body)).invoices.read("in_1")
