"""A shop of its own: database, Stripe stand-in, two workers and two APIs, and its customers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client

from adapters.tls import trusted
from api.app import build_app
from api.auth.tokens import make_token
from bootstrap.clients import connect_temporal
from bootstrap.workers import run_workers
from commands.migrate import migrate_database
from config import Settings
from database.accounts.users import ensure_admin
from database.session import Sessions, make_engine, make_sessions
from services.agents.tools.catalog import ToolCatalog
from tests.api.conftest import API, Person
from tests.api.support import served
from tests.conftest import WEBHOOK_SECRET, free_port, own_database, start_sandbox, wait_for_url
from tests.support.checked import settle

DAY_SECONDS = 86_400
WAIT_SECONDS = 300
Json = dict[str, Any]


class Stripe:
    """Stripe's Dashboard and customer pages, and the controls of the stand-in."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def read(self, path: str, **params: Any) -> Any:
        reply = await self.http.get(f"/v1/{path}", params=params, headers=_KEY)
        return reply.raise_for_status().json()

    async def send(self, method: str, path: str, **fields: Any) -> Any:
        reply = await self.http.request(method, f"/v1/{path}", data=fields, headers=_KEY)
        assert reply.is_success, f"{method} {path} {fields}: {reply.text}"
        return reply.json()

    async def control(self, path: str, **body: Any) -> Any:
        reply = await self.http.post(f"/_sandbox/{path}", json=body)
        assert reply.is_success, reply.text
        return reply.json()

    async def webhooks_of(self, email: str, **faults: Any) -> None:
        """Let webhooks about one customer go wrong."""
        body = {"customer_email": email, "webhooks": faults}
        reply = await self.http.put(f"/_sandbox/faults/{email}", json=body)
        assert reply.is_success, reply.text

    async def card(self, *script: str) -> str:
        return str((await self.control("payment-methods", script=list(script or ("ok",))))["id"])

    async def advance(self, days: float) -> None:
        await self.control("clock/advance", seconds=days * DAY_SECONDS)

    async def pending(self, email: str) -> int:
        reply = await self.http.get("/_sandbox/webhooks", params={"customer_email": email})
        return int(reply.json()["pending_count"])

    async def calls(self, after: int = 0) -> list[Json]:
        reply = await self.http.get("/_sandbox/requests", params={"after": after})
        found: list[Json] = reply.json()["items"]
        return found


_KEY = {"Authorization": "Bearer sk_test_x"}


@dataclass
class Shop:
    """The parts of a shop, and its administrator."""

    settings: Settings
    temporal: Client
    sessions: Sessions
    stripe: Stripe
    admin: Person
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def customer(self) -> Person:
        """Make a customer, who logs in at another system."""
        email = f"{uuid4().hex}@example.com"
        made = await self.admin.post("users", email=email, external_id=email)
        assert made.status_code == 201, made.text
        user_id = UUID(made.json()["user_id"])
        secret = self.settings.auth.jwt_secret.get_secret_value()
        headers = {"Authorization": f"Bearer {make_token(user_id, secret, 36_000)}"}
        http = httpx.AsyncClient(
            base_url=self.admin.http.base_url,
            headers=headers,
            timeout=100,
            verify=trusted(),
            limits=httpx.Limits(keepalive_expiry=1),
        )
        self.clients.append(http)
        return Person(user_id, email, http)

    async def plan(self, **changes: Any) -> Json:
        body: Json = {"code": f"plan-{uuid4().hex[:8]}", "name": "Probe", "amount_cents": 2_900}
        body |= {"currency_code": "usd", "interval": "month"}
        return created(await self.post(self.admin, "plans", **(body | changes)))

    async def post(self, person: Person, path: str, **body: Any) -> httpx.Response:
        """Send a POST under one key until it has its answer, which may be late."""
        key, replies = uuid4().hex, list[httpx.Response]()

        async def is_answered() -> bool:
            replies.append(await person.post(path, key, **body))
            return replies[-1].status_code != 503

        await self.wait(f"an answer to POST {path}", is_answered)
        return replies[-1]

    async def subscribe(self, person: Person, plan: Json, *script: str) -> Json:
        """Subscribe a customer with a card that answers charges by a script."""
        card = await self.stripe.card(*script)
        body: Json = {"stripe_payment_method_id": card, "is_default": True}
        created(await self.post(person, "payment-methods", **body))
        made = created(await self.post(person, "subscriptions", plan_id=plan["plan_id"]), 202)

        async def is_at_stripe() -> Any:
            seen = await person.get(f"subscriptions/{made['subscription_id']}")
            return seen if seen["stripe_subscription_id"] else None

        found: Json = await self.wait("a new subscription", is_at_stripe)
        return found

    async def reconcile(self) -> Json:
        """Compare everything with Stripe, wait until all is quiet, and return the report."""
        made = created(await self.post(self.admin, "reconciliations"), 202)

        async def is_closed() -> Any:
            seen = await self.admin.get(f"reconciliations/{made['reconciliation_id']}")
            return seen if seen["reconciliation_status"] != "running" else None

        report: Json = await self.wait("the end of the reconciliation", is_closed)
        assert report["reconciliation_status"] == "completed", report
        await self.quiet()
        return report

    async def quiet(self) -> None:
        """Wait until nothing is in progress, twice in a row."""

        async def is_quiet() -> bool:
            for _ in range(2):
                if not (await self.admin.get("admin/quiet"))["is_quiet"]:
                    return False
                await asyncio.sleep(0.1)
            return True

        await self.wait("quiet", is_quiet)

    async def told(self, people: list[Person]) -> None:
        """Wait until the webhooks about these customers have arrived."""

        async def are_told() -> bool:
            counts = await asyncio.gather(*[self.stripe.pending(each.email) for each in people])
            return not any(counts)

        await self.wait("webhooks", are_told)

    async def wait(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (answer := await look()):
            assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s for {what}"
            await asyncio.sleep(0.1)
        return answer


def created(reply: httpx.Response, status: int = 201) -> Json:
    assert reply.status_code == status, reply.text
    made: Json = reply.json()
    return made


@asynccontextmanager
async def open_shop(
    settings: Settings, temporal: Client, tools: ToolCatalog, data: Path
) -> AsyncIterator[Shop]:
    """Open a shop with two workers and two APIs; the first API gets the webhooks."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(own_database())
        migrate_database(database.get_uri())
        engine = make_engine(database.get_uri(), pool_size=30)
        stack.push_async_callback(engine.dispose)
        sessions, port = make_sessions(engine), free_port()
        url = f"http://127.0.0.1:{port}"
        stripe = settings.stripe.model_copy(update={"api_base": url})
        place = settings.temporal.model_copy(
            update={
                "address": temporal.service_client.config.target_host,
                "namespace": temporal.namespace,
            }
        )
        ours = settings.model_copy(
            update={"stripe": stripe, "database_url": database.get_uri(), "temporal": place}
        )
        for _ in range(2):
            # Reason: one connection takes one worker of each task queue.
            client = await connect_temporal(ours)
            await stack.enter_async_context(run_workers(client, ours, sessions, tools=tools))
        apps = [build_app(ours, temporal, sessions, tools) for _ in range(2)]
        https = [await stack.enter_async_context(served(app)) for app in apps]
        hook = f"{str(https[0].base_url).rstrip('/')}{API}/webhooks/stripe"
        options = ("--port", str(port), "--webhook-url", hook, "--webhook-secret", WEBHOOK_SECRET)
        child = start_sandbox("sandbox.stripe", data, *options)
        stack.callback(child.wait, 100)
        stack.callback(child.terminate)
        stack.callback(settle, url)
        wait_for_url(f"{url}/_sandbox/health")
        control = httpx.AsyncClient(base_url=url, timeout=200, verify=trusted())
        admin = await _admin(sessions, https[1])
        stripe_http = await stack.enter_async_context(control)
        shop = Shop(ours, temporal, sessions, Stripe(stripe_http), admin)
        yield shop
        for http in shop.clients:
            await http.aclose()


async def _admin(sessions: Sessions, http: httpx.AsyncClient) -> Person:
    api_key, email = f"pk_{uuid4().hex}", f"{uuid4().hex}@example.com"
    async with sessions.begin() as session:
        await ensure_admin(session, email, api_key)
    http.headers["X-API-Key"] = api_key
    me = (await http.get(f"{API}/users/me")).raise_for_status().json()
    return Person(UUID(me["user_id"]), email, http)
