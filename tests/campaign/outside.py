"""Everybody around the product: its users, Stripe's Dashboard, the controls and the mail sink."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
from temporalio.client import Client

Json = dict[str, Any]
API = "/api/v1"
_TIMEOUT = httpx.Timeout(60.0, pool=None)
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=60)
_STRIPE_VERSION = "2026-10-28.endive"


class OutsideError(Exception):
    """Something outside of what is tested did not work."""


async def until(
    what: str, look: Callable[[], Awaitable[Any]], seconds: float, pause: float = 0.6
) -> Any:
    """Ask until the answer is true.

    Raises:
        OutsideError: If it does not come in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := await look()):
        if time.monotonic() > deadline:
            raise OutsideError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(pause)
    return answer


def good(reply: httpx.Response) -> Json:
    """Return the document of a good answer.

    Raises:
        OutsideError: If it is none.
    """
    if not reply.is_success:
        asked = f"{reply.request.method} {reply.request.url.path}"
        raise OutsideError(f"{asked} -> {reply.status_code} {reply.text[:300]}")
    document: Json = reply.json() if reply.content else {}
    return document


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return nested parameters as Stripe's form fields."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return [(name, str(value).lower() if isinstance(value, bool) else str(value))]
    return [
        pair for key, item in inner for pair in flat(item, f"{name}[{key}]" if name else str(key))
    ]


class Dashboard:
    """Stripe's own routes, called by somebody else than the product."""

    def __init__(self, base: str) -> None:
        headers = {
            "Authorization": "Bearer sk_test_dashboard",
            "Stripe-Version": _STRIPE_VERSION,
            "User-Agent": "dashboard",
        }
        self.http = httpx.AsyncClient(
            base_url=base, headers=headers, timeout=_TIMEOUT, limits=_LIMITS
        )

    async def call(self, method: str, path: str, **params: Any) -> httpx.Response:
        """Send one call, with nested parameters."""
        pairs = dict(flat(params))
        place: Json = {"data": pairs} if method == "POST" else {"params": pairs}
        return await self.http.request(method, f"/v1{path}", **place)

    async def get(self, path: str, **params: Any) -> Json:
        """Read something."""
        return good(await self.call("GET", path, **params))

    async def post(self, path: str, **params: Any) -> Json:
        """Do something."""
        return good(await self.call("POST", path, **params))

    async def all(self, path: str, **params: Any) -> list[Json]:
        """Read a whole list, newest first."""
        found: list[Json] = []
        while True:
            cursor = {"starting_after": found[-1]["id"]} if found else {}
            page = await self.get(path, limit=100, **params, **cursor)
            found += page["data"]
            if not page["has_more"]:
                return found


class Controls:
    """The controls of the stand-in."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._http = dashboard.http

    async def control(self, method: str, path: str, **body: Any) -> Json:
        """Use one control."""
        sent: Json = {} if method == "DELETE" else {"json": body}
        return good(await self._http.request(method, f"/_sandbox/{path}", **sent))

    async def card(self, *script: str) -> str:
        """Make a card that answers by script."""
        return str((await self.control("POST", "payment-methods", script=list(script)))["id"])

    async def log(self, **params: Any) -> list[Json]:
        """Return requests."""
        found = good(await self._http.get("/_sandbox/requests", params=params))
        return list(found["items"])

    async def ledger(self, customer: str) -> list[Json]:
        """Return one customer's movements of money."""
        params = {"customer": customer}
        return list(good(await self._http.get("/_sandbox/ledger", params=params))["items"])

    async def pending(self, email: str) -> int:
        """Return how many events about a customer have not been taken yet."""
        params = {"customer_email": email}
        found = good(await self._http.get("/_sandbox/webhooks", params=params))
        return int(found["pending_count"])


class Caller:
    """Somebody who uses the product's API."""

    def __init__(self, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._http = http
        self._headers = headers

    async def once(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send one request; a read again, if its idle connection was closed just then."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        send = partial(self._http.request, method, f"{API}/{path}", headers=headers, **options)
        if method == "GET":
            with contextlib.suppress(httpx.TransportError):
                return await send()
        return await send()

    async def get(self, path: str) -> Json:
        """Read something."""
        return good(await self.once("GET", path))

    async def items(self, path: str) -> list[Json]:
        """Read a whole list."""
        found: list[Json] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = good(await self.once("GET", path, params=params))
            found += page["items"]
            cursor = page["next_cursor"]
        return found

    async def send(
        self, path: str, body: Json, seconds: float, key: str | None = None
    ) -> httpx.Response | None:
        """Post under one key until there is an answer; None if none came in time."""
        key, deadline = key or uuid4().hex, time.monotonic() + seconds
        while True:
            reply: httpx.Response | None
            try:
                reply = await self.once("POST", path, key=key, json=body)
            except httpx.TransportError:
                reply = None
            if reply is not None and reply.status_code not in {429, 503}:
                return reply
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(0.5)


class Outside:
    """All of it, around one stack."""

    def __init__(self, facts: Json) -> None:
        self.api = httpx.AsyncClient(base_url=facts["api"], timeout=_TIMEOUT, limits=_LIMITS)
        self.admin = Caller(self.api, {"X-API-Key": facts["admin_api_key"]})
        self.stripe = Dashboard(facts["stripe"])
        self.sandbox = Controls(self.stripe)
        self._mail = httpx.AsyncClient(base_url=facts["mail"], timeout=_TIMEOUT)
        self._temporal = (facts["temporal"], facts["namespace"])

    async def close(self) -> None:
        """Close all connections."""
        for http in (self.api, self.stripe.http, self._mail):
            await http.aclose()

    async def customer(self, email: str) -> Caller:
        """Sign somebody up and log in."""
        password = uuid4().hex
        body = {"email": email, "password": password}
        good(await self.api.post(f"{API}/users", json=body))
        form = {"username": email, "password": password}
        token = good(await self.api.post(f"{API}/auth/token", data=form))["access_token"]
        return Caller(self.api, {"Authorization": f"Bearer {token}"})

    async def command_times(self, workflow_id: str) -> list[float]:
        """Return when a workflow took each command that was sent to it, in wall time."""
        address, namespace = self._temporal
        client = await Client.connect(address, namespace=namespace)
        history = client.get_workflow_handle(workflow_id).fetch_history_events()
        return [
            event.event_time.ToNanoseconds() / 1e9
            async for event in history
            if event.HasField("workflow_execution_update_accepted_event_attributes")
        ]

    async def mails(self, email: str) -> list[Json]:
        """Return the mails to an address, oldest first."""
        found = good(await self._mail.get("/_sandbox/mails", params={"to": email}))
        return list(found["items"])
