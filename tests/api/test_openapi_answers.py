"""What the OpenAPI document shows is what the API answers: errors, new resources, streams."""

import asyncio
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from jsonschema_rs import Draft202012Validator
from temporalio.client import Client, WorkflowExecutionStatus

from api.errors import PROBLEM_TYPE
from tests.api.conftest import API, MakeCard, Person, make_plan, until
from tests.api.support import served, socket_to
from tests.api.test_openapi import document, operations, validator
from tests.unit.agents.support import Model

# Its routes refuse nothing of what Stripe sends.
STRIPE = f"{API}/webhooks/stripe"


def shown(method: str, path: str, status: int) -> list[dict[str, Any]]:
    """Return the examples of an error of a route."""
    response = document()["paths"][path][method.lower()]["responses"][str(status)]
    return [each["value"] for each in response["content"][PROBLEM_TYPE]["examples"].values()]


def check(reply: httpx.Response, method: str, path: str, status: int) -> None:
    """Check that an answer is one of the route's examples, word for word."""
    assert reply.status_code == status, (method, path, reply.text)
    assert reply.json() in shown(method, path, status), (method, path)


def check_shape(reply: httpx.Response, method: str, path: str, status: int) -> None:
    """Check that an answer has the code of one of the route's examples, and the same facts."""
    assert reply.status_code == status, (method, path, reply.text)
    told = reply.json()
    fitting = [each for each in shown(method, path, status) if each["code"] == told["code"]]
    assert fitting, (method, path, told)
    assert told.keys() == fitting[0].keys()
    assert told["details"].keys() in [each["details"].keys() for each in fitting], told
    assert told["title"] == fitting[0]["title"]


def routes(status: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield methods and paths of the routes under `/api/v1` that describe a status."""
    for name, operation in operations():
        method, _, path = name.partition(" ")
        is_told = str(status) in operation["responses"]
        if path.startswith(API) and path != STRIPE and is_told:
            yield method, path, operation


def filled(path: str) -> str:
    return re.sub(r"\{name\}", "no-such-policy", re.sub(r"\{\w+_id\}", str(uuid4()), path))


def template(path: str) -> str:
    """Return the path of the document that a concrete path belongs to."""
    for known in document()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
            return str(known)
    raise LookupError(path)


def body_of(operation: dict[str, Any]) -> Any:
    """Return a body that the route takes: the first example of its schema."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    name = re.findall(r'schemas/(\w+)"', json.dumps(content["schema"]))[0]
    return document()["components"]["schemas"][name]["examples"][0]


async def test_no_credentials_are_answered_as_shown(stranger: httpx.AsyncClient) -> None:
    count = 0
    for method, path, operation in routes(401):
        if operation.get("security") and path != f"{API}/users":
            reply = await stranger.request(method, filled(path), json=body_of(operation))
            check(reply, method, path, 401)
            count += 1
    assert count > 50
    form = {"username": "nobody@example.com", "password": "wrong"}
    token = f"{API}/auth/token"
    check(await stranger.post(token, data=form), "POST", token, 401)
    check(await stranger.post(token), "POST", token, 422)
    check(await stranger.post(token, json=form), "POST", token, 415)


async def test_what_is_for_administrators_is_answered_as_shown(user: Person) -> None:
    count = 0
    for method, path, operation in routes(403):
        codes = {each["code"] for each in shown(method, path, 403)}
        is_for_admins = "only an administrator may do this" in str(shown(method, path, 403))
        if codes == {"admin_required"} and is_for_admins:
            reply = await user.http.request(method, filled(path), json=body_of(operation))
            check(reply, method, path, 403)
            count += 1
    assert count > 10


async def test_what_does_not_exist_is_answered_as_shown(
    user: Person, admin: Person, workers: Client, chroma_url: str
) -> None:
    count = 0
    for method, path, operation in routes(404):
        if "{" not in path:
            continue
        for person in (admin, user):
            reply = await person.http.request(method, filled(path), json=body_of(operation))
            if reply.status_code != 403:
                check(reply, method, path, 404)
                count += 1
    assert count > 40


async def test_other_users_are_answered_as_shown(user: Person) -> None:
    count = 0
    for method, path, operation in routes(404):
        given = operation.get("parameters", ())
        names = {each["name"] for each in given if each["in"] == "query"}
        if "user_id" in names:
            reply = await user.http.get(path, params={"user_id": str(uuid4())})
            check(reply, method, path, 404)
            count += 1
    assert count > 8


async def test_unknown_query_parameters_are_answered_as_shown(admin: Person) -> None:
    for method, path, _ in routes(422):
        reply = await admin.http.request(method, filled(path), params={"colour": "red"})
        check(reply, method, path, 422)


async def test_empty_bodies_are_answered_as_shown(admin: Person) -> None:
    count = 0
    for method, path, operation in routes(422):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        reference = content and content["schema"].get("$ref")
        if reference is None or "{" in path:
            continue
        if document()["components"]["schemas"][reference.rpartition("/")[2]].get("required"):
            check(await admin.http.request(method, path, json={}), method, path, 422)
            count += 1
    assert count >= 7


async def test_forms_are_answered_as_shown(admin: Person) -> None:
    count = 0
    for method, path, operation in routes(415):
        if "application/json" in operation["requestBody"]["content"]:
            reply = await admin.http.request(method, filled(path), data={"a": "b"})
            check(reply, method, path, 415)
            count += 1
    assert count > 15


async def test_bodies_that_are_too_large_are_answered_as_shown(admin: Person) -> None:
    for method, path, _ in routes(413):
        (example,) = shown(method, path, 413)
        size = example["details"]["limit_bytes"]
        headers = {"Content-Type": "application/json", "Content-Length": str(size + 1)}
        reply = await admin.http.request(method, filled(path), content=b"", headers=headers)
        check(reply, method, path, 413)


async def test_tampered_cursors_are_answered_as_shown(admin: Person, chroma_url: str) -> None:
    count = 0
    for method, path, operation in routes(422):
        names = {each["name"] for each in operation.get("parameters", ())}
        if "cursor" in names and "{" not in path:
            reply = await admin.http.request(method, path, params={"cursor": "tampered"})
            check(reply, method, path, 422)
            count += 1
    assert count > 10


async def test_keys_that_are_used_again_are_answered_as_shown(admin: Person) -> None:
    path = f"{API}/conversations"
    assert (await admin.post("conversations", key="k", title="a")).status_code == 201
    check(await admin.post("conversations", key="k", title="b"), "POST", path, 409)


async def test_taken_names_are_answered_as_shown(admin: Person, plan: dict[str, Any]) -> None:
    users = f"{API}/users"
    one, two = f"{uuid4().hex}@example.com", f"{uuid4().hex}@example.com"
    assert (await admin.post("users", email=one, external_id=one)).status_code == 201
    check(await admin.post("users", email=one, external_id=two), "POST", users, 409)
    check(await admin.post("users", email=two, external_id=one), "POST", users, 409)
    body: dict[str, Any] = {
        "name": "x",
        "amount_cents": 100,
        "currency_code": "usd",
        "interval": "month",
    }
    check(await admin.post("plans", code=plan["code"], **body), "POST", f"{API}/plans", 409)
    missing = await admin.post("plans", code="other", retry_policy="none", **body)
    check(missing, "POST", f"{API}/plans", 422)


async def test_sign_up_is_answered_as_shown(stranger: httpx.AsyncClient) -> None:
    users = f"{API}/users"
    reply = await stranger.post(users, json={"email": "a@example.com", "external_id": "x"})
    check(reply, "POST", users, 403)


async def test_selling_is_answered_as_shown(
    user: Person, admin: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    path = f"{API}/subscriptions"
    unknown = await user.post("subscriptions", plan_id=str(uuid4()))
    check(unknown, "POST", path, 404)
    longer = await user.post("subscriptions", plan_id=plan["plan_id"], trial_days=30)
    check_shape(longer, "POST", path, 403)
    attached = await user.post(
        "payment-methods", stripe_payment_method_id=await card("ok"), is_default=True
    )
    assert attached.status_code == 201
    made = await user.post("subscriptions", plan_id=plan["plan_id"])
    assert made.status_code == 202
    again = await user.post("subscriptions", plan_id=plan["plan_id"])
    check_shape(again, "POST", path, 409)
    euro = await make_plan(admin, currency_code="eur")
    other = await user.post("subscriptions", plan_id=euro["plan_id"])
    check_shape(other, "POST", path, 409)

    cancel = f"subscriptions/{made.json()['subscription_id']}/cancel"
    assert (await user.post(cancel, mode="now")).status_code == 200
    refused = await user.post(cancel, mode="now")
    check(refused, "POST", f"{path}/{{subscription_id}}/cancel", 409)


async def test_cards_are_answered_as_shown(user: Person, card: MakeCard, workers: Client) -> None:
    path = f"{API}/payment-methods"
    unknown = await user.post("payment-methods", stripe_payment_method_id="pm_unknown")
    check_shape(unknown, "POST", path, 404)


async def test_payments_are_answered_as_shown(
    user: Person, admin: Person, card: MakeCard, workers: Client
) -> None:
    path = f"{API}/payments"
    body: dict[str, Any] = {"amount_cents": 500, "currency_code": "usd"}
    check(await user.post("payments", payment_method_id=str(uuid4()), **body), "POST", path, 404)
    attached = await user.post("payment-methods", stripe_payment_method_id=await card("ok"))
    made = await user.post(
        "payments", payment_method_id=attached.json()["payment_method_id"], **body
    )
    one = f"payments/{made.json()['payment_id']}"

    workflow = workers.get_workflow_handle(made.json()["workflow_id"])

    async def is_paid() -> bool:
        # Reason: until its workflow has ended, a cancel may come in time, and pays it back.
        if (await workflow.describe()).status is WorkflowExecutionStatus.RUNNING:
            return False
        return bool((await user.get(one))["payment_status"] == "succeeded")

    await until(is_paid)
    check(await user.post(f"{one}/cancel"), "POST", f"{path}/{{payment_id}}/cancel", 409)
    refund = f"{path}/{{payment_id}}/refund"
    too_high = await admin.post(f"{one}/refund", amount_cents=600, reason="x")
    check_shape(too_high, "POST", refund, 422)
    paid_back = await admin.post(f"{one}/refund", reason="x")
    assert paid_back.status_code == 200, paid_back.text
    check_shape(await admin.post(f"{one}/refund", reason="x"), "POST", refund, 409)


async def test_runs_are_answered_as_shown(
    user: Person, customer: Person, admin: Person, workers: Client
) -> None:
    path = f"{API}/agent-runs"
    run = {"agent": "research", "input": "Where is my train?"}
    without_access = await admin.post("agent-runs", **run)
    check(without_access, "POST", path, 402)
    check(await customer.post("agent-runs", agent="none", input="x"), "POST", path, 404)
    too_long = await customer.post("agent-runs", agent="research", input="語" * 20_000)
    check_shape(too_long, "POST", path, 422)


@pytest.mark.parametrize("path", ["agent-runs", "documents"])
async def test_a_new_resource_is_as_shown(customer: Person, model: Model, path: str) -> None:
    """The 202 has the fields of the example, and the same ones are null or empty."""
    operation = document()["paths"][f"{API}/{path}"]["post"]
    content = operation["responses"]["202"]["content"]["application/json"]
    body = body_of(operation)
    if path == "agent-runs":
        body = {**body, "input": f"{body['input']} {uuid4().hex}"}
        await model.script({"text": "word " * 100, "token_seconds": 0.05}, match=body["input"])
    reply = await customer.post(path, **body)
    assert reply.status_code == 202, reply.text
    made, example = reply.json(), content["example"]
    validator(content["schema"]["$ref"]).validate(made)
    assert made.keys() == example.keys()
    status = "run_status" if path == "agent-runs" else "document_status"
    assert made[status] == example[status]
    empty = {name for name, value in example.items() if value in (None, [], 0)}
    assert {"output", "error", "completed_at"} <= empty or {"chunk_count", "error"} <= empty
    for name in empty & {"output", "finish_reason", "citations", "completed_at", "chunk_count"}:
        assert made[name] == example[name], name


async def test_a_queued_run_has_not_started(customer: Person) -> None:
    run = {"agent": "research", "input": "Where is my train?"}
    first = (await customer.post("agent-runs", **run)).json()
    second = await customer.post("agent-runs", **run, conversation_id=first["conversation_id"])
    made = second.json()
    assert second.status_code == 202, second.text
    validator("#/components/schemas/AgentRunOut").validate(made)
    assert made["output"] is None
    if made["run_status"] == "queued":
        assert made["started_at"] is None


def strict(schema: Any) -> Any:
    """Return a schema that allows no fields but those that it describes."""
    if isinstance(schema, dict):
        closed = {name: strict(each) for name, each in schema.items()}
        if "properties" in closed:
            closed["additionalProperties"] = False
        return closed
    return [strict(each) for each in schema] if isinstance(schema, list) else schema


def check_messages(name: str, messages: list[Any]) -> set[str]:
    """Check messages of a stream against their schema; return their kinds."""
    components = strict(document()["components"])
    schema = {"components": components, "$ref": f"#/components/schemas/{name}"}
    checked = Draft202012Validator(schema, validate_formats=True)
    for message in messages:
        faults = [error.message for error in checked.iter_errors(message)]
        assert not faults, (message, faults)
    return {message["kind"] for message in messages}


async def test_the_stream_of_a_run_is_as_described(app: FastAPI, customer: Person) -> None:
    run = (await customer.post("agent-runs", agent="research", input="Where is it?")).json()
    headers = {"Authorization": customer.http.headers["authorization"]}
    async with served(app) as http:
        async with socket_to(http, f"agent-runs/{run['agent_run_id']}", headers) as socket:
            async with asyncio.timeout(100):
                messages = [json.loads(each) async for each in socket]
        reply = await http.get(f"{API}/agent-runs/{run['agent_run_id']}/events", headers=headers)
    kinds = check_messages("RunEventOut", messages)
    assert {"status", "message", "token", "step", "done"} <= kinds
    events = re.findall(r"^data: (.*)$", reply.text, re.MULTILINE)
    assert [json.loads(each) for each in events] == messages


async def test_the_stream_of_a_subscription_is_as_described(
    app: FastAPI, user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    await user.post("payment-methods", stripe_payment_method_id=await card("ok"), is_default=True)
    made = (await user.post("subscriptions", plan_id=plan["plan_id"])).json()
    path = f"subscriptions/{made['subscription_id']}"

    async def is_active() -> bool:
        return bool((await user.get(path))["access"] == "full")

    await until(is_active)
    assert (await user.post(f"{path}/cancel", mode="now")).status_code == 200
    headers = {"Authorization": user.http.headers["authorization"]}
    async with served(app) as http, socket_to(http, path, headers) as socket:
        async with asyncio.timeout(100):
            messages = [json.loads(each) async for each in socket]
    kinds = check_messages("SubscriptionStreamEventOut", messages)
    assert {"status_changed", "cancel_now"} <= kinds


class Addresses(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in {"src", "href"} and value}


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_pages_of_the_documentation_need_no_network(
    stranger: httpx.AsyncClient, page: str
) -> None:
    reply = await stranger.get(page)
    assert reply.status_code == 200
    assert not re.findall(r"(?:https?:)?//[A-Za-z0-9.-]+", reply.text)
    parser = Addresses()
    parser.feed(reply.text)
    loaded = {each for each in parser.found if not each.startswith("data:")}
    assert loaded
    for address in loaded:
        assert (await stranger.get(address)).status_code == 200, address
    described = await stranger.get("/openapi.json")
    assert described.json() == json.loads(json.dumps(document()))
