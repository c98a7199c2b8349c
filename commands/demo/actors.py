"""Who takes part: the product's API, a customer of it, and the outside world."""

from fnmatch import fnmatch
from typing import Any
from uuid import uuid4

import httpx

from commands.demo.checks import DemoError

API = "/api/v1"
TIMEOUT_SECONDS = 30.0
DAY_SECONDS = 86_400

Document = dict[str, Any]


def answered(reply: httpx.Response) -> Any:
    """Return a good answer's JSON.

    Raises:
        DemoError: It was no good answer.
    """
    if not reply.is_success:
        request = reply.request
        raise DemoError(
            f"{request.method} {request.url} answered {reply.status_code}: {reply.text}"
        )
    return reply.json()


class Product:
    """The API, as its administrator sees it."""

    def __init__(self, url: str, admin_api_key: str) -> None:
        self._url = url
        headers = {"X-API-Key": admin_api_key}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)
        self._customers: list[httpx.Client] = []

    def put_policy(self, name: str, policy: Document) -> None:
        """Make a retry policy."""
        answered(self._http.put(f"{API}/retry-policies/{name}", json=policy))

    def create_plan(self, name: str) -> Document:
        """Make a monthly plan with the retry policy of the same name."""
        body = {
            "code": name,
            "name": "Pro",
            "amount_cents": 2_900,
            "currency_code": "usd",
            "interval": "month",
            "retry_policy": name,
        }
        plan: Document = answered(self._http.post(f"{API}/plans", json=body))
        return plan

    def sign_up(self, plan_id: str) -> "Customer":
        """Let somebody sign up and log in."""
        email, password = f"ada.{uuid4().hex[:6]}@example.com", uuid4().hex
        http = httpx.Client(base_url=self._url, timeout=TIMEOUT_SECONDS)
        self._customers.append(http)
        body = {"email": email, "password": password, "name": "Ada"}
        answered(http.post(f"{API}/users", json=body))
        form = {"username": email, "password": password}
        token = answered(http.post(f"{API}/auth/token", data=form))["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        return Customer(http, email, plan_id)

    def close(self) -> None:
        """Hang up, also for the customers."""
        for http in (self._http, *self._customers):
            http.close()


class Customer:
    """Somebody with an account."""

    def __init__(self, http: httpx.Client, email: str, plan_id: str) -> None:
        self.email = email
        self._http = http
        self._plan_id = plan_id
        self._path = ""

    def add_card(self, stripe_payment_method_id: str) -> Document:
        """Add a card as the default."""
        body = {"stripe_payment_method_id": stripe_payment_method_id, "is_default": True}
        method: Document = self._post("payment-methods", body)
        return method

    def subscribe(self) -> None:
        """Subscribe to the plan."""
        made = self._post("subscriptions", {"plan_id": self._plan_id})
        self._path = f"subscriptions/{made['subscription_id']}"

    def subscription(self) -> Document:
        """Look at the subscription."""
        return self._get(self._path)

    def explain(self) -> Document:
        """Ask why it is as it is."""
        return self._get(f"{self._path}/explain")

    def events(self, *kinds: str) -> list[Document]:
        """Return what happened, of these kinds, oldest first."""
        events = self._get(f"{self._path}/events?limit=200")["items"]
        return [event for event in events if event["kind"] in kinds]

    def retries(self) -> list[Document]:
        """Return the recoveries, newest first."""
        retries: list[Document] = self._get("payment-retries")["items"]
        return retries

    def _get(self, path: str) -> Document:
        found: Document = answered(self._http.get(f"{API}/{path}"))
        return found

    def _post(self, path: str, body: Document) -> Document:
        headers = {"Idempotency-Key": uuid4().hex}
        made: Document = answered(self._http.post(f"{API}/{path}", json=body, headers=headers))
        return made


class Provider:
    """Stripe's stand-in and the mail sink, by their controls."""

    def __init__(self, stripe_url: str, mail_url: str) -> None:
        self._stripe = httpx.Client(base_url=stripe_url, timeout=TIMEOUT_SECONDS)
        self._mail = httpx.Client(base_url=mail_url, timeout=TIMEOUT_SECONDS)

    def card(self, *script: str) -> str:
        """Make a card that answers by script, one entry a charge."""
        return str(self._control("payment-methods", {"script": list(script)})["id"])

    def advance(self, days: int) -> None:
        """Move Stripe's clock."""
        self._control("clock/advance", {"seconds": days * DAY_SECONDS})

    def delay(self, match: str, seconds: float) -> None:
        """Make the next call that matches slow."""
        fault = {"match": match, "times": 1, "delay_seconds": seconds}
        self._control("faults", {"api": [fault]})

    def requests(self, match: str) -> list[Document]:
        """Return the calls that Stripe has received and that match, oldest first."""
        calls = answered(self._stripe.get("/_sandbox/requests"))["items"]
        return [call for call in calls if fnmatch(f"{call['method']} {call['path']}", match)]

    def charges(self, stripe_invoice_id: str) -> list[Document]:
        """Return the charges tried for an invoice, from Stripe's own ledger."""
        rows = answered(self._stripe.get("/_sandbox/ledger"))["items"]
        return [
            row for row in rows if row["kind"] == "charge" and row["invoice"] == stripe_invoice_id
        ]

    def mails(self, email: str) -> list[Document]:
        """Return what somebody was sent."""
        mails: list[Document] = answered(
            self._mail.get("/_sandbox/mails", params={"to": email}),
        )["items"]
        return mails

    def close(self) -> None:
        """Hang up."""
        self._stripe.close()
        self._mail.close()

    def _control(self, what: str, body: Document) -> Document:
        done: Document = answered(self._stripe.post(f"/_sandbox/{what}", json=body))
        return done
