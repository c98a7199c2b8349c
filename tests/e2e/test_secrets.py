"""What must be read nowhere: neither in logs, nor in lists of processes, nor in histories."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.e2e.client import API, Caller, Document, World, answered
from tests.e2e.running import wait_for


@pytest.fixture(scope="module")
def secrets(world: World, plan: Document) -> dict[str, str]:
    """Use every kind of secret in every way, wrong ways too, and return them all."""
    facts = world.stack.facts
    name, password = f"secret-{uuid4().hex}@example.com", f"password-{uuid4().hex}"
    world.anybody.post("users", email=name, password=password)
    form = {"username": name, "password": password}
    token = answered(world.anybody.send("POST", "auth/token", data=form))["access_token"]
    user = Caller(world.api, {"Authorization": f"Bearer {token}"})
    api_key = user.post("api-keys", name="probe")["api_key"]
    setup = user.post("payment-methods/setup-intent")
    card = world.stripe.card("ok")
    user.post("payment-methods", stripe_payment_method_id=card, is_default=True)
    subscription = user.post("subscriptions", plan_id=plan["plan_id"])
    wait_for("access", lambda: user.get("entitlements")["access"] == "full")
    run = user.post("agent-runs", agent="research", input="hello")
    ticket, late = (user.post("auth/ticket")["ticket"] for _ in range(2))
    mine = f"ws/subscriptions/{subscription['subscription_id']}"
    for query in (f"ticket={ticket}", f"ticket={token}", f"token={token}", f"api_key={api_key}"):
        with (
            suppress(InvalidStatus, ConnectionClosed, TimeoutError),
            connect(f"{user.socket_url}/{mine}?{query}") as socket,
        ):
            socket.recv(timeout=1)
    events = f"{world.api.base_url}{API}/agent-runs/{run['agent_run_id']}/events"
    with httpx.stream("GET", events, params={"ticket": late}, timeout=30) as stream:
        stream.read()
    # What PostgreSQL refuses: its errors quote what was to be stored.
    world.api.post(f"{API}/users", json={"email": f"a\0{name}", "password": password})
    world.api.post(f"{API}/auth/token", data={"username": f"a\0{name}", "password": password})
    world.wait_for_quiet()
    with psycopg.connect(facts["database_url"]) as connection:
        found = connection.execute("select password_hash from users where email = %s", (name,))
        password_hash = (found.fetchone() or ("",))[0]
    kept = json.loads((world.stack.logs.parent / "secrets.json").read_text())
    return {
        "password": password,
        "password hash": password_hash.rpartition("$")[2],
        "token": token,
        "ticket": ticket,
        "late ticket": late,
        "API key": api_key,
        "administrator's key": facts["admin_api_key"],
        "client secret": setup["client_secret"],
        "webhook secret": facts["stripe_webhook_secret"],
        "tokens' secret": kept["jwt_secret"],
        "database's password": kept["postgres_password"],
    }


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if len(secret) < 16 or secret in text]


def test_no_log_has_a_secret(world: World, secrets: dict[str, str]) -> None:
    logs = {path.name: path.read_text(errors="replace") for path in world.stack.logs.iterdir()}
    assert len(logs["api.log"]) > 1_000
    told = {name: found_in(text, secrets) for name, text in logs.items()}
    assert {name: found for name, found in told.items() if found} == {}


def processes() -> Iterator[str]:
    """Return the command lines of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_no_list_of_processes_has_a_secret(world: World, secrets: dict[str, str]) -> None:
    seen = list(processes())
    assert any("sandbox.stripe" in line for line in seen)
    assert [line for line in seen if found_in(line, secrets)] == []


def test_no_history_has_a_secret(world: World, secrets: dict[str, str]) -> None:
    listed = world.admin.items("workflows")
    kinds: set[str] = set()
    for workflow in listed[:150]:
        name = workflow["workflow_id"]
        history = world.admin.get(f"workflows/{name}/history")
        assert found_in(json.dumps(history), secrets) == [], name
        kinds.add(workflow["workflow_type"])
    assert {"StripeOperationWorkflow", "SubscriptionWorkflow", "AgentRunWorkflow"} <= kinds


def test_every_request_is_one_line(world: World) -> None:
    mark = uuid4().hex
    user = world.customer()
    reply = user.try_once("GET", f"plans/{uuid4()}", headers={"X-Request-ID": mark})
    assert reply.status_code == 404

    def lines() -> list[Document]:
        text = (world.stack.logs / "api.log").read_text()
        return [json.loads(line) for line in text.splitlines() if mark in line]

    wait_for("the line", lines)
    (line,) = lines()
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", 404)
    assert line["route"] == f"{API}/plans/{{plan_id}}"
    assert line["request_id"] == mark
    assert line["duration_ms"] > 0
    assert line["user_id"] == user.get("users/me")["user_id"]
