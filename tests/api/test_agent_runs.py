"""Runs of agents through the API, on real servers: answers, approvals, means, cancels."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from config import Settings
from tests.api.conftest import Person, make_plan, problem, until

MakeCard = Callable[..., Awaitable[str]]


@dataclass
class Model:
    """The stand-in's controls."""

    http: httpx.AsyncClient

    async def script(self, *items: dict[str, Any], match: str) -> None:
        """Queue replies for the calls whose request contains a text."""
        body = {"items": [{**item, "match": match} for item in items]}
        reply = await self.http.post("/_sandbox/script", json=body)
        assert reply.is_success, reply.text

    async def calls(self, match: str) -> list[dict[str, Any]]:
        """Return the calls whose request contains a text."""
        listed = (await self.http.get("/_sandbox/requests")).json()["items"]
        return [call for call in listed if match in str(call["body"])]


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[Model]:
    base_url = (settings.llm.base_url or "").removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base_url) as http:
        yield Model(http)


async def subscribe(person: Person, admin: Person, card: MakeCard, **limits: int) -> None:
    """Give somebody access, within these limits."""
    plan = await make_plan(admin, limits=limits)
    added = await person.post(
        "payment-methods",
        stripe_payment_method_id=await card("ok"),
        is_default=True,
    )
    assert added.status_code == 201, added.text
    made = (await person.post("subscriptions", plan_id=plan["plan_id"])).json()

    async def is_active() -> bool:
        seen = await person.get(f"subscriptions/{made['subscription_id']}")
        return bool(seen["access"] == "full")

    await until(is_active)


@pytest.fixture
async def customer(
    user: Person,
    admin: Person,
    card: MakeCard,
    workers: Client,
    chroma_url: str,
) -> Person:
    """Somebody with a subscription."""
    await subscribe(user, admin, card)
    return user


async def start(person: Person, text: str, **more: Any) -> dict[str, Any]:
    reply = await person.post("agent-runs", agent="research", input=text, **more)
    assert reply.status_code == 202, reply.text
    run: dict[str, Any] = reply.json()
    return run


async def wait(person: Person, run: dict[str, Any], *statuses: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = await person.get(f"agent-runs/{run['agent_run_id']}")
        return seen if seen["run_status"] in statuses else None

    found: dict[str, Any] = await until(look, 20)
    return found


ENDED = ("completed", "failed", "canceled", "budget_exceeded")


async def ask(person: Person, text: str, **more: Any) -> dict[str, Any]:
    """Run to the end."""
    return await wait(person, await start(person, text, **more), *ENDED)


async def events(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all that a finished run's stream tells."""
    import json

    path = f"/api/v1/agent-runs/{run['agent_run_id']}/events"
    reply = await person.http.get(path)
    assert reply.status_code == 200, reply.text
    lines = reply.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def ingest(person: Person, title: str, content: str) -> str:
    made = (await person.post("documents", title=title, content=content)).json()

    async def is_ready() -> bool:
        seen = await person.get(f"documents/{made['document_id']}")
        return bool(seen["document_status"] == "ready")

    await until(is_ready)
    document_id: str = made["document_id"]
    return document_id


async def test_answers_from_a_document_with_a_citation(customer: Person, model: Model) -> None:
    fact = f"The night train to Varna leaves from platform {uuid4().int % 90 + 10}."
    document_id = await ingest(customer, "Trains", fact)
    await ingest(customer, "Cooking", "Rice is boiled in twice its volume of water.")

    run = await ask(customer, "Where does the night train to Varna leave from?")

    assert run["run_status"] == "completed", run
    assert fact in run["output"]
    assert [cited["document_id"] for cited in run["citations"]] == [document_id]
    told = await events(customer, run)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    tokens = [event["data"]["text"] for event in told if event["kind"] == "token"]
    assert "".join(tokens) == run["output"]
    assert told[-1]["kind"] == "done"
    call = (await model.calls(fact))[0]
    assert run["usage"]["prompt_tokens"] == call["prompt_tokens"]
    assert run["usage"]["completion_tokens"] == call["completion_tokens"]
    assert run["usage"]["cost_cents"] > 0
    used = (await customer.get("entitlements"))["used"]
    assert used["agent_run_count"] == 1
    assert used["token_count"] == call["prompt_tokens"] + call["completion_tokens"]


async def test_without_a_subscription_it_says_what_to_do(
    user: Person, workers: Client, chroma_url: str
) -> None:
    reply = await user.post("agent-runs", agent="research", input="hello")
    body = problem(reply, 402, "entitlement_required")
    assert "subscriptions" in str(body["details"])
