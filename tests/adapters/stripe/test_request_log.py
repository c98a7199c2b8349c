"""The log line of each request to Stripe."""

from uuid import uuid4

import pytest
import stripe
from structlog.testing import capture_logs

from adapters.stripe.client import open_client
from adapters.stripe.request_log import describe_request

SECRET = "sk_test_not_told"


@pytest.mark.parametrize(
    ("url", "operation", "object_id"),
    [
        ("https://api.stripe.com/v1/balance", "POST /v1/balance", None),
        (
            "https://api.stripe.com/v1/payment_intents/pi_3Abc/confirm?expand=x",
            "POST /v1/payment_intents/{id}/confirm",
            "pi_3Abc",
        ),
        (
            "http://127.0.0.1:1/v1/customers/cus_1A/payment_methods/pm_2B",
            "POST /v1/customers/{id}/payment_methods/{id}",
            "cus_1A",
        ),
        ("http://127.0.0.1:1/v1/checkout/sessions", "POST /v1/checkout/sessions", None),
        (
            "http://127.0.0.1:1/v1/checkout/sessions/cs_test_a1",
            "POST /v1/checkout/sessions/{id}",
            "cs_test_a1",
        ),
    ],
)
def test_a_route_has_no_ids(url: str, operation: str, object_id: str | None) -> None:
    assert describe_request("post", url) == (operation, object_id)


async def test_each_request_is_one_line_without_a_secret(stripe_url: str) -> None:
    email = f"{uuid4().hex}@example.com"
    async with open_client(SECRET, stripe_url) as client:
        with capture_logs() as lines:
            customer = await client.v1.customers.create_async({"email": email})
            await client.v1.customers.list_async({"email": email})
            with pytest.raises(stripe.InvalidRequestError):
                await client.v1.customers.retrieve_async("cus_0none")
    assert [(each["event"], each["operation"], each["status"]) for each in lines] == [
        ("stripe_request", "POST /v1/customers", 200),
        ("stripe_request", "GET /v1/customers", 200),
        ("stripe_request", "GET /v1/customers/{id}", 404),
    ]
    assert all(each["stripe_request_id"].startswith("req_") for each in lines)
    assert all(each["duration_ms"] > 0 for each in lines)
    assert lines[2]["stripe_object_id"] == "cus_0none"
    assert not [each for each in (SECRET, email, customer.id) if each in str(lines[:2])]


async def test_a_request_without_an_answer_is_a_line_too() -> None:
    async with open_client(SECRET, "http://127.0.0.1:1") as client:
        with capture_logs() as lines, pytest.raises(stripe.APIConnectionError):
            await client.v1.balance.retrieve_async()
    assert [(each["operation"], each["error"]) for each in lines] == [
        ("GET /v1/balance", "ConnectError")
    ]
