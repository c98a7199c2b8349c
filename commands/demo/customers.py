"""Who takes part on our side: the product's API, and a customer of it."""

import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from commands.demo.api_client import ApiClient, Document
from commands.demo.checks import DemoError, expect


class Product:
    """The API, as its administrator sees it."""

    def __init__(self, url: str, admin_api_key: str) -> None:
        self.line = ApiClient(url)
        self.line.identify("X-API-Key", admin_api_key)
        self._customers: list[ApiClient] = []

    def put_policy(self, name: str, policy: Document) -> None:
        """Make a retry policy."""
        self.line.put(f"retry-policies/{name}", policy)

    def create_plan(self, name: str, limits: Document) -> Document:
        """Make a monthly plan with the retry policy of the same name."""
        body = {
            "code": name,
            "name": "Pro",
            "amount_cents": 2_900,
            "currency_code": "usd",
            "interval": "month",
            "retry_policy": name,
            "limits": limits,
        }
        return self.line.post("plans", body)

    def sign_up(self, plan_id: str) -> "Customer":
        """Let somebody sign up and log in."""
        email, password = f"ada.{uuid4().hex[:6]}@example.com", uuid4().hex
        line = ApiClient(self.line.url)
        self._customers.append(line)
        line.post("users", {"email": email, "password": password, "name": "Ada"})
        line.log_in(email, password)
        return Customer(line, email, plan_id)

    def close(self) -> None:
        """Hang up, also for the customers."""
        for line in (self.line, *self._customers):
            line.close()


class Customer:
    """Somebody with an account."""

    def __init__(self, line: ApiClient, email: str, plan_id: str) -> None:
        self.email = email
        self.line = line
        self._plan_id = plan_id
        self._path = ""

    def add_card(self, stripe_payment_method_id: str) -> Document:
        """Add a card as the default."""
        body = {"stripe_payment_method_id": stripe_payment_method_id, "is_default": True}
        return self.line.post("payment-methods", body)

    def subscribe(self) -> None:
        """Subscribe to the plan."""
        made = self.line.post("subscriptions", {"plan_id": self._plan_id})
        self._path = f"subscriptions/{made['subscription_id']}"

    def subscription(self) -> Document:
        """Look at the subscription."""
        return self.line.get(self._path)

    def explain(self) -> Document:
        """Ask why it is as it is."""
        return self.line.get(f"{self._path}/explain")

    def events(self, *kinds: str) -> list[Document]:
        """Return what happened, of these kinds, oldest first."""
        events = self.line.get(f"{self._path}/events?limit=200")["items"]
        return [event for event in events if event["kind"] in kinds]

    def retries(self) -> list[Document]:
        """Return the payment retries, newest first."""
        retries: list[Document] = self.line.get("payment-retries")["items"]
        return retries

    def payments(self) -> list[Document]:
        """Return the payments, newest first."""
        payments: list[Document] = self.line.get("payments")["items"]
        return payments

    def payment(self, payment_id: str) -> Document:
        """Look at one payment."""
        return self.line.get(f"payments/{payment_id}")

    def entitlements(self) -> Document:
        """Ask what may be used, and what was."""
        return self.line.get("entitlements")


AGENT = "research"
CLOSE_DONE = 1000
SILENCE_SECONDS = 30.0


class Assistant:
    """The agent, as one customer sees it."""

    def __init__(self, line: ApiClient) -> None:
        self._line = line

    def ingest(self, title: str, content: str) -> Document:
        """Hand in a document."""
        return self._line.post("documents", {"title": title, "content": content})

    def document(self, document_id: str) -> Document:
        """Look at a document."""
        return self._line.get(f"documents/{document_id}")

    def ask(self, text: str, conversation_id: str | None = None) -> Document:
        """Begin a run."""
        body = {"agent": AGENT, "input": text, "conversation_id": conversation_id}
        return self._line.post("agent-runs", body)

    def run(self, agent_run_id: str) -> Document:
        """Look at a run."""
        return self._line.get(f"agent-runs/{agent_run_id}")

    def tool_calls(self, agent_run_id: str) -> list[Document]:
        """Return the tool calls of a run, as the ledger has them."""
        steps = self._line.get(f"agent-runs/{agent_run_id}/steps")["items"]
        return [call for step in steps for call in step["tool_calls"]]

    def events(self, agent_run_id: str, after: int = 0) -> Iterator[Document]:
        """Yield what a run's stream tells above a number, until the run ends or we leave.

        Raises:
            DemoError: The stream broke, fell silent, or ended otherwise than it should.
        """
        host = self._line.url.replace("http", "ws", 1)
        url = f"{host}/ws/agent-runs/{agent_run_id}?after={after}"
        try:
            with connect(url, additional_headers=self._line.credentials) as socket:
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
    expect(code == CLOSE_DONE, "the stream was closed in good order", code)


def approve(line: ApiClient, run: Document, args_sha256: str | None = None) -> httpx.Response:
    """Say yes to a run's pending call.

    Args:
        line: Who says it.
        run: As it waits.
        args_sha256: Digest of the arguments that the yes is for; None: those that are pending.

    Returns:
        The answer, which may be a refusal.
    """
    call = run["pending_approvals"][0]
    body = {
        "call_id": call["call_id"],
        "args_sha256": args_sha256 or call["args_sha256"],
        "decision": "approve",
    }
    return line.try_post(f"agent-runs/{run['agent_run_id']}/approve", body)
