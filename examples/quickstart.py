"""A first tour of the API, on a stack that `make up` has started.

Run: `python examples/quickstart.py [STACK_JSON]`. It signs up a user, subscribes them, lets a
renewal fail, asks an agent about a document, and refunds a payment with an approval. Cards and
clocks are those of the Stripe sandbox.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

STACK = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else ".perdure/stack.json").read_text())
SANDBOX = httpx.Client(base_url=STACK["stripe"])
ADMIN = httpx.Client(
    base_url=f"{STACK['api']}/api/v1/", headers={"X-API-Key": STACK["admin_api_key"]}
)
USER = httpx.Client(base_url=f"{STACK['api']}/api/v1/", timeout=30)


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """POST once: with the same idempotency key this could be sent again without harm."""
    reply = client.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    return reply.raise_for_status().json()


def wait_for(path: str, field: str, *values: str) -> Any:
    """Read a resource until a field has one of the values."""
    while (seen := USER.get(path).raise_for_status().json())[field] not in values:
        time.sleep(0.2)
    return seen


def wait_for_first(path: str) -> Any:
    """Read a list until it has an entry, and return the first one."""
    while not (items := USER.get(path).raise_for_status().json()["items"]):
        time.sleep(0.2)
    return items[0]


def main() -> None:
    """Take the tour."""
    code, email, password = f"pro-{uuid4().hex[:6]}", f"{uuid4().hex[:6]}@example.com", uuid4().hex
    plan = post(
        ADMIN,
        "plans",
        {
            "code": code,
            "name": "Pro",
            "amount_cents": 2900,
            "currency_code": "usd",
            "interval": "month",
        },
    )
    post(USER, "users", {"email": email, "password": password})
    token = USER.post("auth/token", data={"username": email, "password": password}).json()
    USER.headers["Authorization"] = f"Bearer {token['access_token']}"

    # A card that pays once, is declined once, and pays again.
    card = SANDBOX.post(
        "/_sandbox/payment-methods", json={"script": ["ok", "insufficient_funds", "ok"]}
    ).json()
    post(USER, "payment-methods", {"stripe_payment_method_id": card["id"], "is_default": True})
    made = post(USER, "subscriptions", {"plan_id": plan["plan_id"]})
    path = f"subscriptions/{made['subscription_id']}"
    print("subscribed:", wait_for(path, "subscription_status", "active")["subscription_status"])

    # A month later the renewal is declined.
    SANDBOX.post("/_sandbox/clock/advance", json={"seconds": 32 * 24 * 3600})
    print(
        "a month later:", wait_for(path, "subscription_status", "past_due")["subscription_status"]
    )
    explained = USER.get(f"{path}/explain").json()
    print("  ", " ".join([*explained["because"], *(event["what"] for event in explained["next"])]))
    retry = wait_for_first("payment-retries")
    retried = post(USER, f"payment-retries/{retry['payment_retry_id']}/retry-now", {})
    print("retried at once:", retried["retry_status"])

    # An agent answers from the user's document.
    content = "The night train to Varna leaves from platform 4."
    document = post(USER, "documents", {"title": "Trains", "content": content})
    wait_for(f"documents/{document['document_id']}", "document_status", "ready")
    question = {"agent": "research", "input": "Where does the night train to Varna leave from?"}
    run = post(USER, "agent-runs", question)
    answer = wait_for(f"agent-runs/{run['agent_run_id']}", "run_status", "completed")
    print("the agent answers:", answer["output"], f"({len(answer['citations'])} citation)")

    # It may ask for a refund; only an administrator's approval of exactly this call makes it.
    payment = wait_for_first("payments?payment_status=succeeded")
    wish = {
        "agent": "research",
        "input": f"Please refund payment {payment['payment_id']}, I was away.",
    }
    run = post(USER, "agent-runs", wish)
    waiting = wait_for(f"agent-runs/{run['agent_run_id']}", "run_status", "waiting_approval")
    [call] = waiting["pending_approvals"]
    print("an approval is asked for:", call["tool"], call["effect"])
    decision = {
        "call_id": call["call_id"],
        "args_sha256": call["args_sha256"],
        "decision": "approve",
    }
    post(ADMIN, f"agent-runs/{run['agent_run_id']}/approve", decision)
    wait_for(f"agent-runs/{run['agent_run_id']}", "run_status", "completed")
    print("the payment:", USER.get(f"payments/{payment['payment_id']}").json()["payment_status"])


if __name__ == "__main__":
    main()
