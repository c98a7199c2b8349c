"""A black-box client: REST as customers and administrators see it, and the sandbox's controls."""

import hashlib
import hmac
import time
from fnmatch import fnmatch
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.running import RunningStack, wait_for

API = "/api/v1"
DAY_SECONDS = 86_400
TIMEOUT_SECONDS = 100.0

Document = dict[str, Any]


class Caller:
    """Somebody who sends requests; those that get lost are sent again with the same key."""

    def __init__(self, http: httpx.Client, headers: dict[str, str] | None = None) -> None:
        self._http = http
        self._headers = headers or {}

    @property
    def headers(self) -> dict[str, str]:
        """Who we are."""
        return self._headers

    @property
    def socket_url(self) -> str:
        """Where WebSockets are."""
        return str(self._http.base_url).rstrip("/").replace("http", "ws", 1)

    def try_once(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Send a request once."""
        sent = self._headers | (headers or {})
        return self._http.request(method, f"{API}/{path}", headers=sent, **options)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request again and again, under one key, until it has its answer."""
        headers = {"Idempotency-Key": uuid4().hex} | options.pop("headers", {})

        def answer() -> httpx.Response | None:
            try:
                reply = self.try_once(method, path, headers=headers, **options)
            except httpx.TransportError:
                return None
            if reply.status_code == 503:
                problem(reply, 503)
                return None
            return reply

        return wait_for(f"an answer to {method} {path}", answer)

    def get(self, path: str, **options: Any) -> Document:
        """Read something."""
        return answered(self.send("GET", path, **options))

    def post(self, path: str, **body: Any) -> Document:
        """Do something once."""
        return answered(self.send("POST", path, json=body))

    def items(self, path: str) -> list[Document]:
        """Read a whole list."""
        found: list[Document] = []
        cursor: str | None = ""
        # Reason: a run's steps are one page, and unknown parameters are refused.
        limit = {} if path.endswith("/steps") else {"limit": 200}
        while cursor is not None:
            page = self.get(path, params=limit | ({"cursor": cursor} if cursor else {}))
            found += page["items"]
            cursor = page["next_cursor"]
        return found


class Sandbox:
    """The controls of Stripe's stand-in, and Stripe as its Dashboard would show it."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def card(self, *script: str) -> str:
        """Make a card that answers by script."""
        made = self._control("payment-methods", script=list(script))
        return str(made["id"])

    def advance(self, days: float) -> None:
        """Move Stripe's clock."""
        self._control("clock/advance", seconds=days * DAY_SECONDS)

    def faults(self, *api: Document, **webhooks: Any) -> None:
        """Replace the faults in force; none clears them."""
        self._control("faults", api=list(api), webhooks=webhooks)

    def requests(self, match: str) -> list[Document]:
        """Return the calls received that match, e.g. `POST /v1/invoices/*/pay`."""
        calls = self._items("requests")
        return [call for call in calls if fnmatch(f"{call['method']} {call['path']}", match)]

    def charges(self, stripe_subscription_id: str) -> list[Document]:
        """Return the charges tried for a subscription, oldest first."""
        return [
            row
            for row in self._items("ledger")
            if row["kind"] == "charge" and row["subscription"] == stripe_subscription_id
        ]

    def refunds(self, stripe_payment_intent_id: str) -> list[Document]:
        """Return the refunds of a payment, oldest first."""
        return [
            row
            for row in self._items("ledger")
            if row["kind"] == "refund" and row["payment_intent"] == stripe_payment_intent_id
        ]

    def pending_webhook_count(self) -> int:
        """Return how many deliveries were not taken yet."""
        return int(answered(self._http.get("/_sandbox/webhooks"))["pending_count"])

    def subscription_ids(self, stripe_customer_id: str) -> list[str]:
        """Return all that a customer ever subscribed to."""
        return self._ids("subscriptions", customer=stripe_customer_id, status="all")

    def event_ids(self) -> list[str]:
        """Return all events that there ever were."""
        return self._ids("events")

    def _ids(self, what: str, **params: Any) -> list[str]:
        found: list[str] = []
        page: Document = {"has_more": True}
        while page["has_more"]:
            after = {"starting_after": found[-1]} if found else {}
            reply = self._http.get(
                f"/v1/{what}",
                params={"limit": 100} | params | after,
                headers={"Authorization": "Bearer sk_test_e2e"},
            )
            page = answered(reply)
            found += [each["id"] for each in page["data"]]
        return found

    def _items(self, what: str) -> list[Document]:
        items: list[Document] = answered(self._http.get(f"/_sandbox/{what}"))["items"]
        return items

    def _control(self, what: str, **body: Any) -> Document:
        return answered(self._http.post(f"/_sandbox/{what}", json=body))


class Model:
    """The controls of the models' stand-in."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def script(self, match: str, *items: Document) -> None:
        """Queue replies for the calls whose request contains a text."""
        body = {"items": [item | {"match": match} for item in items]}
        answered(self._http.post("/_sandbox/script", json=body))

    def reset(self) -> None:
        """Forget all replies and calls."""
        answered(self._http.post("/_sandbox/reset"))

    def calls(self, match: str) -> list[Document]:
        """Return the calls of models whose request contains a text, oldest first."""
        items = answered(self._http.get("/_sandbox/requests"))["items"]
        return [call for call in items if match in str(call["body"])]


class World:
    """A running stack with everybody around it."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        facts = stack.facts
        self.api = httpx.Client(base_url=facts["api"], timeout=TIMEOUT_SECONDS)
        self._stripe = httpx.Client(base_url=facts["stripe"], timeout=TIMEOUT_SECONDS)
        self.stripe = Sandbox(self._stripe)
        # Reason: openai's SDK wants `/v1` in its address; the controls are beside it.
        llm_url = facts["llm"].removesuffix("/v1")
        self._llm = httpx.Client(base_url=llm_url, timeout=TIMEOUT_SECONDS)
        self.llm = Model(self._llm)
        self.admin = Caller(self.api, {"X-API-Key": facts["admin_api_key"]})
        self.anybody = Caller(self.api)

    def close(self) -> None:
        """Close all connections."""
        self.api.close()
        self._stripe.close()
        self._llm.close()

    def customer(self) -> Caller:
        """Sign somebody up and log in."""
        email, password = f"{uuid4().hex}@example.com", uuid4().hex
        self.anybody.post("users", email=email, password=password)
        form = {"username": email, "password": password}
        token = answered(self.anybody.send("POST", "auth/token", data=form))["access_token"]
        return Caller(self.api, {"Authorization": f"Bearer {token}"})

    def plan(self, **limits: int) -> Document:
        """Make a monthly plan whose retries take seconds."""
        policy = {"schedules": {"default": ["1s", "2s", "3s"]}, "grace": "7d"}
        name = f"fast-{uuid4().hex[:8]}"
        answered(self.admin.send("PUT", f"retry-policies/{name}", json=policy))
        return self.admin.post(
            "plans",
            code=name,
            name="Fast",
            amount_cents=2900,
            currency_code="usd",
            interval="month",
            retry_policy=name,
            limits=limits,
        )

    def wait_for_quiet(self) -> None:
        """Wait until nothing is under way, here or on its way from Stripe."""

        def is_quiet() -> bool:
            pending = self.stripe.pending_webhook_count()
            return pending == 0 and bool(self.admin.get("admin/quiet")["is_quiet"])

        wait_for("quiet", is_quiet)

    def sign(self, payload: bytes) -> dict[str, str]:
        """Sign a webhook as Stripe does."""
        secret, at = self.stack.facts["stripe_webhook_secret"], int(time.time())
        mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256)
        return {"Stripe-Signature": f"t={at},v1={mac.hexdigest()}"}


def answered(reply: httpx.Response) -> Document:
    """Return the document of a good answer, or fail with what came instead."""
    told = f"{reply.request.method} {reply.request.url} -> {reply.status_code} {reply.text[:500]}"
    assert reply.is_success, told
    document: Document = reply.json()
    return document


def problem(reply: httpx.Response, status: int) -> Document:
    """Return a problem document, checked for its form."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text[:500]}"
    assert reply.headers["content-type"].startswith("application/problem+json")
    document: Document = reply.json()
    assert {"type", "title", "status", "detail", "code", "details"} <= document.keys()
    is_pending = document["code"] == "outcome_pending"
    has_key = reply.request.method != "POST" or "idempotency-key" in reply.request.headers
    is_to_be_repeated = status == 503 and (has_key or not is_pending)
    assert is_to_be_repeated == ("retry-after" in reply.headers)
    return document
