"""What the tests of payments share: the stand-in of Stripe, and payments that are made."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from adapters.tls import trusted
from config import Settings
from tests.api.conftest import MakeCard, Person, until


class Stripe:
    """The stand-in, seen from behind."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def charges(self, payment: dict[str, Any]) -> list[tuple[str, int]]:
        """Return all charges of the payment's customer: a second one may have its own intent."""
        rows = await self._ledger("charge")
        intent_id = payment["stripe_payment_intent_id"]
        (customer,) = {row["customer"] for row in rows if row["payment_intent"] == intent_id}
        return [(row["outcome"], row["amount"]) for row in rows if row["customer"] == customer]

    async def refunds(self, payment: dict[str, Any]) -> list[tuple[str, int]]:
        intent_id = payment["stripe_payment_intent_id"]
        rows = await self._ledger("refund")
        return [
            (row["outcome"], row["amount"]) for row in rows if row["payment_intent"] == intent_id
        ]

    async def _ledger(self, kind: str) -> list[dict[str, Any]]:
        rows = (await self._http.get("/_sandbox/ledger")).json()["items"]
        return [row for row in rows if row["kind"] == kind]

    async def call(self, path: str, **form: Any) -> dict[str, Any]:
        reply = await self._http.post(f"/v1/{path}", data=form)
        made: dict[str, Any] = reply.raise_for_status().json()
        return made

    async def read(self, path: str) -> dict[str, Any]:
        reply = await self._http.get(f"/v1/{path}")
        found: dict[str, Any] = reply.raise_for_status().json()
        return found

    async def control(self, name: str, **body: Any) -> dict[str, Any]:
        reply = await self._http.post(f"/_sandbox/{name}", json=body)
        made: dict[str, Any] = reply.raise_for_status().json()
        return made

    async def requests(self, path: str) -> list[dict[str, Any]]:
        rows = (await self._http.get("/_sandbox/requests")).json()["items"]
        return [row for row in rows if (row["method"], row["path"]) == ("POST", path)]

    async def break_down(self, **fault: Any) -> None:
        body = {"api": [fault] if fault else []}
        (await self._http.post("/_sandbox/faults", json=body)).raise_for_status()

    async def event(self, event_type: str, object_id: str) -> dict[str, Any]:
        listed = await self._http.get("/v1/events", params={"type": event_type, "limit": 100})
        found: dict[str, Any] = next(
            event for event in listed.json()["data"] if event["data"]["object"]["id"] == object_id
        )
        return found


@pytest.fixture
async def stripe(settings: Settings) -> AsyncIterator[Stripe]:
    headers = {"Authorization": "Bearer sk_test_x"}
    base = settings.stripe.api_base or ""
    http = httpx.AsyncClient(base_url=base, verify=trusted(), headers=headers, timeout=100)
    async with http:
        behind = Stripe(http)
        yield behind
        await behind.break_down()


async def attach(person: Person, name: str) -> str:
    reply = await person.post("payment-methods", stripe_payment_method_id=name)
    assert reply.status_code == 201, reply.text
    made: str = reply.json()["payment_method_id"]
    return made


async def pay(person: Person, name: str, key: str | None = None, **extra: Any) -> dict[str, Any]:
    body = {"amount_cents": 2_500, "currency_code": "usd", **extra}
    body["payment_method_id"] = await attach(person, name)
    reply = await person.post("payments", key=key, **body)
    assert reply.status_code == 202, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def see(person: Person, payment: dict[str, Any], status: str) -> dict[str, Any]:
    """Wait until a payment stands somewhere."""

    async def read() -> Any:
        seen = await person.get(f"payments/{payment['payment_id']}")
        return seen if seen["payment_status"] == status else None

    seen: dict[str, Any] = await until(read)
    return seen


async def paid(person: Person, card: MakeCard) -> dict[str, Any]:
    return await see(person, await pay(person, await card("ok")), "succeeded")
