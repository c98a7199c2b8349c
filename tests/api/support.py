"""What the tests of the API's edges share: rows to begin with, and the app on a real server."""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from websockets.asyncio.client import ClientConnection, connect

from adapters.temporal.search_attributes import register
from adapters.tls import trusted
from api.auth.tokens import make_token
from api.server import SERVER_OPTIONS
from config import Settings
from database.accounts.models import User
from database.plans.models import Plan
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.ids import subscription_workflow_id
from workflows.search_attributes import NAMES


async def add_user(sessions: Sessions, role: str = "user") -> UUID:
    user_id = uuid4()
    async with sessions.begin() as session:
        session.add(User(user_id=user_id, email=f"{user_id.hex}@example.com", role=role))
    return user_id


def bearer(settings: Settings, user_id: UUID) -> dict[str, str]:
    token = make_token(user_id, settings.auth.jwt_secret.get_secret_value(), 600)
    return {"Authorization": f"Bearer {token}"}


async def add_plan(sessions: Sessions) -> UUID:
    plan_id = uuid4()
    async with sessions.begin() as session:
        session.add(
            Plan(
                plan_id=plan_id,
                code=plan_id.hex,
                name="Probe",
                amount_cents=2900,
                currency_code="usd",
                interval="month",
                interval_count=1,
                trial_days=0,
                features_data={},
                limits_data={},
                retry_policy="default",
                stripe_product_id="prod_x",
                stripe_price_id="price_x",
            ),
        )
    return plan_id


async def add_subscription(
    sessions: Sessions,
    user_id: UUID,
    stripe_subscription_id: str | None = None,
) -> UUID:
    subscription_id, plan_id = uuid4(), await add_plan(sessions)
    async with sessions.begin() as session:
        session.add(
            Subscription(
                subscription_id=subscription_id,
                user_id=user_id,
                plan_id=plan_id,
                quantity=1,
                subscription_status="active",
                stripe_subscription_id=stripe_subscription_id,
                workflow_id=subscription_workflow_id(subscription_id),
            ),
        )
    return subscription_id


def stripe_event(
    event_type: str = "customer.subscription.updated",
    *,
    subscription_id: UUID | None = None,
    stripe_subscription_id: str | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"object": "subscription", "id": stripe_subscription_id}
    if subscription_id:
        found["metadata"] = {"subscription_id": str(subscription_id)}
    return {"id": f"evt_{uuid4().hex}", "type": event_type, "data": {"object": found}}


def signed(body: bytes, secret: str, at: float | None = None) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={mac}", "Content-Type": "application/json"}


async def send_event(
    http: httpx.AsyncClient,
    settings: Settings,
    event: dict[str, Any],
) -> httpx.Response:
    body = json.dumps(event).encode()
    headers = signed(body, settings.stripe.webhook_secret.get_secret_value())
    return await http.post("/api/v1/webhooks/stripe", content=body, headers=headers)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an app in this process, on a free port, by the server that production uses."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        # Reason: a client that takes nothing would hold up the end of the tests for ever.
        timeout_graceful_shutdown=2,
        **SERVER_OPTIONS,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())

    async def is_started() -> bool:
        return server.started

    await eventually(is_started)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        base = f"http://{host}:{port}"
        # Reason: a connection that has idled is closed by the server just when it is used again.
        limits = httpx.Limits(keepalive_expiry=1)
        async with httpx.AsyncClient(
            base_url=base, verify=trusted(), timeout=100, limits=limits
        ) as http:
            yield http
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def idle_server(port: int | None = None) -> AsyncIterator[Client]:
    """A Temporal server without workers: what is sent to a workflow lies there, to be looked at."""
    async with await WorkflowEnvironment.start_local(
        port=port,
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(Path(sys.prefix) / "bin" / "temporal"),
        dev_server_log_level="error",
    ) as env:
        await register(env.client, NAMES)
        yield env.client


async def eventually(probe: Callable[[], Awaitable[Any]], seconds: float = 100) -> Any:
    """Ask until something comes, or fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := await probe():
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


def socket_to(
    http: httpx.AsyncClient,
    path: str,
    headers: dict[str, str] | None = None,
    **params: object,
) -> AbstractAsyncContextManager[ClientConnection]:
    """Open a WebSocket of a served app."""
    url = str(http.base_url).replace("http://", "ws://").rstrip("/")
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return connect(
        f"{url}/ws/{path}?{query}",
        additional_headers=headers or {},
        proxy=None,
        max_queue=None,
        # Reason: no test is about time here, and hundreds of handshakes at once take a while.
        open_timeout=100,
    )
