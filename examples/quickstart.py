"""A first tour of the API, on a stack that `make up` has started.

Run: `python examples/quickstart.py [STACK]`, with the `--data` folder of the stack or its
`stack.json`. It signs up a user, subscribes them, lets a
renewal fail, asks an agent about a document, and refunds a payment with an approval. Cards are
those of the Stripe sandbox.

There are two clocks. `clock/advance` moves the clock of the Stripe sandbox only; Temporal waits in
real time. So the failed renewal is charged again by `retry-now`, and not after a month of the
sandbox; on a stack of `make up ARGS=--fast-retries` it would be charged within seconds, too.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

parser = argparse.ArgumentParser(description="A first tour of the API, on a running stack.")
parser.add_argument(
    "stack",
    nargs="?",
    type=Path,
    default=Path(".perdure"),
    help="stack.json of a running stack, or its folder; by default .perdure",
)
PATH: Path = parser.parse_args().stack
if PATH.is_dir():
    PATH /= "stack.json"
if not PATH.is_file():
    raise SystemExit(f"no stack runs here: {PATH} is missing; start one with `make up`")
STACK = json.loads(PATH.read_text())
SANDBOX = httpx.Client(base_url=STACK["stripe"])
ADMIN = httpx.Client(
    base_url=f"{STACK['api']}/api/v1/", headers={"X-API-Key": STACK["admin_api_key"]}, timeout=30
)
USER = httpx.Client(base_url=f"{STACK['api']}/api/v1/", timeout=30)


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """POST once: a POST answered 503 is repeated with its key, and nothing is done twice."""
    headers = {"Idempotency-Key": uuid4().hex}
    deadline = time.monotonic() + 60
    while (reply := client.post(path, json=body, headers=headers)).status_code == 503:
        if time.monotonic() > deadline:
            break
        time.sleep(float(reply.headers.get("Retry-After", "1")))
    return reply.raise_for_status().json()


def wait_for(path: str, field: str, value: str) -> Any:
    """Read a resource until a field has a value."""
    return wait_until(path, lambda seen: seen[field] == value)


def wait_for_first(path: str) -> Any:
    """Read a list until it has an entry, and return the first one."""
    return wait_until(path, lambda seen: bool(seen["items"]))["items"][0]


def wait_until(path: str, is_there: Callable[[Any], bool]) -> Any:
    """Read a resource until it fulfills a condition, for a minute at most."""
    deadline = time.monotonic() + 60
    while not is_there(seen := USER.get(path).raise_for_status().json()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{path} does not change as expected: {seen}")
        time.sleep(0.2)
    return seen


def subscribe() -> str:
    """Make a plan and a user with a card, subscribe, and return the subscription's path."""
    email, password = f"{uuid4().hex[:6]}@example.com", uuid4().hex
    price = {"amount_cents": 2900, "currency_code": "usd", "interval": "month"}
    plan = post(ADMIN, "plans", {"code": f"pro-{uuid4().hex[:6]}", "name": "Pro", **price})
    post(USER, "users", {"email": email, "password": password})
    token = USER.post("auth/token", data={"username": email, "password": password}).json()
    USER.headers["Authorization"] = f"Bearer {token['access_token']}"

    # A card that pays once, is declined once, and pays again.
    script = {"script": ["ok", "insufficient_funds", "ok"]}
    card = SANDBOX.post("/_sandbox/payment-methods", json=script).json()
    post(USER, "payment-methods", {"stripe_payment_method_id": card["id"], "is_default": True})
    made = post(USER, "subscriptions", {"plan_id": plan["plan_id"]})
    path = f"subscriptions/{made['subscription_id']}"
    print("subscribed:", wait_for(path, "subscription_status", "active")["subscription_status"])
    return path


def renew(path: str) -> None:
    """Let a month pass at Stripe; the renewal is declined, and charged again at once."""
    SANDBOX.post("/_sandbox/clock/advance", json={"seconds": 32 * 24 * 3600})
    row = wait_for(path, "subscription_status", "past_due")
    explained = USER.get(f"{path}/explain").json()
    print("a month later:", row["subscription_status"])
    print("  ", " ".join([*explained["because"], *(event["what"] for event in explained["next"])]))
    retry = wait_for_first("payment-retries")
    retried = post(USER, f"payment-retries/{retry['payment_retry_id']}/retry-now", {})
    print("retried at once:", retried["retry_status"])


def ask() -> None:
    """Let an agent answer from a document of the user."""
    content = "The night train to Varna leaves from platform 4."
    document = post(USER, "documents", {"title": "Trains", "content": content})
    wait_for(f"documents/{document['document_id']}", "document_status", "ready")
    question = {"agent": "research", "input": "Where does the night train to Varna leave from?"}
    run = post(USER, "agent-runs", question)
    answer = wait_for(f"agent-runs/{run['agent_run_id']}", "run_status", "completed")
    print("the agent answers:", answer["output"], f"({len(answer['citations'])} citation)")


def refund() -> None:
    """Let an agent ask for a refund, which only an administrator's approval of this call makes."""
    payment = wait_for_first("payments?payment_status=succeeded")
    wish = f"Please refund payment {payment['payment_id']}, I was away."
    run = post(USER, "agent-runs", {"agent": "research", "input": wish})
    path = f"agent-runs/{run['agent_run_id']}"
    [call] = wait_for(path, "run_status", "waiting_approval")["pending_approvals"]
    print("an approval is asked for:", call["tool"], call["effect"])
    shown = {name: call[name] for name in ("call_id", "args_sha256")}
    post(ADMIN, f"{path}/approve", {**shown, "decision": "approve"})
    wait_for(path, "run_status", "completed")
    print("the payment:", USER.get(f"payments/{payment['payment_id']}").json()["payment_status"])


if __name__ == "__main__":
    renew(subscribe())
    ask()
    refund()
    key = post(USER, "api-keys", {"name": "examples/stream.html"})["api_key"]
    print("an API key of this user, for examples/stream.html:", key)
