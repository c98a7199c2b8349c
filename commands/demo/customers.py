"""Clients of the product's API: the administrator, a customer, and the customer's agent."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from commands.demo.api_client import ApiClient, Document
from commands.demo.checks import DemoError, expect


class Product:
    """Calls the API as the administrator."""

    def __init__(self, url: str, admin_api_key: str) -> None:
        self.api = ApiClient(url)
        self.api.identify("X-API-Key", admin_api_key)
        self._customers: list[ApiClient] = []

    def put_policy(self, name: str, policy: Document) -> None:
        """Make a retry policy."""
        self.api.put(f"retry-policies/{name}", policy)

    def create_plan(self, code: str, name: str, amount_cents: int, **fields: Any) -> Document:
        """Make a monthly plan in US dollars."""
        body = {"code": code, "name": name, "amount_cents": amount_cents}
        return self.api.post("plans", body | {"currency_code": "usd", "interval": "month"} | fields)

    def listen(self, url: str) -> Document:
        """Make a webhook endpoint for subscriptions, and return it with its secret."""
        return self.api.post("webhook-endpoints", {"url": url, "event_types": ["subscription.*"]})

    def sign_up(self, name: str, plan_id: str) -> "Customer":
        """Sign up a new customer, and log in as that customer."""
        email, password = f"{name.lower()}.{uuid4().hex[:6]}@example.com", uuid4().hex
        api = ApiClient(self.api.url)
        self._customers.append(api)
        api.post("users", {"email": email, "password": password, "name": name})
        api.log_in(email, password)
        return Customer(api, email, plan_id)

    def close(self) -> None:
        """Close the connections of the administrator and of all customers."""
        for api in (self.api, *self._customers):
            api.close()


class Customer:
    """Calls the API as a customer."""

    def __init__(self, api: ApiClient, email: str, plan_id: str) -> None:
        self.email = email
        self.api = api
        self._plan_id = plan_id
        self._path = ""

    def add_card(self, stripe_payment_method_id: str) -> Document:
        """Add a card as the default."""
        body = {"stripe_payment_method_id": stripe_payment_method_id, "is_default": True}
        return self.api.post("payment-methods", body)

    def subscribe(self) -> None:
        """Subscribe to the plan."""
        made = self.api.post("subscriptions", {"plan_id": self._plan_id})
        self._path = f"subscriptions/{made['subscription_id']}"

    def subscription(self) -> Document:
        """Read the subscription."""
        return self.api.get(self._path)

    def command(self, command: str, **body: Any) -> Document:
        """Send a command to the subscription, and return its answer."""
        return self.api.post(f"{self._path}/{command}", body)

    def newest_invoice(self) -> Document:
        """Read the newest invoice of the subscription."""
        newest: Document = self.api.get(f"{self._path}/invoices?limit=1")["items"][0]
        return newest

    def explain(self) -> Document:
        """Read the explanation of the subscription's status and of its next steps."""
        return self.api.get(f"{self._path}/explain")

    def events(self, *kinds: str) -> list[Document]:
        """Return the subscription's events of these kinds, oldest first."""
        events = self.api.get(f"{self._path}/events?limit=200")["items"]
        return [event for event in events if event["kind"] in kinds]

    def retries(self) -> list[Document]:
        """Return the payment retries, newest first."""
        retries: list[Document] = self.api.get("payment-retries")["items"]
        return retries

    def payments(self) -> list[Document]:
        """Return the payments, newest first."""
        payments: list[Document] = self.api.get("payments")["items"]
        return payments

    def payment(self, payment_id: str) -> Document:
        """Read one payment."""
        return self.api.get(f"payments/{payment_id}")

    def entitlements(self) -> Document:
        """Read the customer's access, limits and usage."""
        return self.api.get("entitlements")


AGENT = "research"
CLOSE_DONE = 1000
SILENCE_SECONDS = 30.0


class Assistant:
    """Calls the agent's API as one customer."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def ingest(self, title: str, content: str) -> Document:
        """Upload a document."""
        return self._api.post("documents", {"title": title, "content": content})

    def document(self, document_id: str) -> Document:
        """Read a document."""
        return self._api.get(f"documents/{document_id}")

    def ask(self, text: str, conversation_id: str | None = None) -> Document:
        """Start a run."""
        body = {"agent": AGENT, "input": text, "conversation_id": conversation_id}
        return self._api.post("agent-runs", body)

    def run(self, agent_run_id: str) -> Document:
        """Read a run."""
        return self._api.get(f"agent-runs/{agent_run_id}")

    def tool_calls(self, agent_run_id: str) -> list[Document]:
        """Return the tool calls of a run from the ledger."""
        steps = self._api.get(f"agent-runs/{agent_run_id}/steps")["items"]
        return [call for step in steps for call in step["tool_calls"]]

    def events(self, agent_run_id: str, after: int = 0) -> Iterator[Document]:
        """Yield the events of a run after a sequence number, until the run ends.

        Raises:
            DemoError: The stream broke, timed out, or was closed with an unexpected code.
        """
        host = self._api.url.replace("http", "ws", 1)
        url = f"{host}/ws/agent-runs/{agent_run_id}?after={after}"
        try:
            with connect(url, additional_headers=self._api.credentials) as socket:
                yield from _received(socket)
        except (WebSocketException, OSError) as error:
            raise DemoError(f"the stream at {url} broke: {error!r}") from error


def _received(socket: ClientConnection) -> Iterator[Document]:
    event: Document = {"kind": None}
    while event["kind"] != "done":
        event = json.loads(socket.recv(timeout=SILENCE_SECONDS))
        yield event
    for _ in socket:
        pass
    code = socket.protocol.close_code
    expect(code == CLOSE_DONE, f"the stream was closed with {CLOSE_DONE}", code)


def approve(api: ApiClient, run: Document, args_sha256: str | None = None) -> httpx.Response:
    """Approve a run's pending tool call.

    Args:
        api: Client of the user who approves.
        run: The waiting run.
        args_sha256: Digest of the approved arguments; None takes that of the pending call.

    Returns:
        The response, which may be an error.
    """
    call = run["pending_approvals"][0]
    body = {
        "call_id": call["call_id"],
        "args_sha256": args_sha256 or call["args_sha256"],
        "decision": "approve",
    }
    return api.try_post(f"agent-runs/{run['agent_run_id']}/approve", body)
