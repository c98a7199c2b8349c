"""A middleware that is added in one place sees every request that may change something."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.client import Client

from api.app import build_app
from api.http import middleware
from api.http.handled_request import HandledRequest, handled_request
from config import Settings
from database.session import Sessions
from tests.api.support import add_subscription, add_user, bearer, send_event, served, stripe_event
from tests.support.approval_links import PATH, add_asked, add_link

API = "/api/v1"


class AuditMiddleware:
    """Keeps what each request that may change something was about."""

    def __init__(self, app: ASGIApp, seen: list[HandledRequest]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, send_and_note)
        request = handled_request(scope, status)
        if request.is_mutating:
            self._seen.append(request)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[HandledRequest]:
    """Add the middleware through the list, and return what it has kept."""
    kept: list[HandledRequest] = []
    monkeypatch.setattr(middleware, "ADDED", [Middleware(AuditMiddleware, seen=kept)])
    return kept


@pytest.fixture
async def app(
    settings: Settings, dev_server: Client, sessions: Sessions, seen: list[HandledRequest]
) -> FastAPI:
    app = build_app(settings, dev_server, sessions)

    @app.post("/breaks")
    async def breaks() -> None:
        raise ZeroDivisionError

    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as client:
        yield client


async def test_every_request_that_may_change_something_is_seen(
    http: httpx.AsyncClient,
    settings: Settings,
    sessions: Sessions,
    workers: Client,
    seen: list[HandledRequest],
) -> None:
    admin_id = await add_user(sessions, "admin")
    head, key = bearer(settings, admin_id), {"Idempotency-Key": "k"}
    named = {"name": "for a program"}
    policy = {"schedules": {"default": ["1d"]}}
    made: list[Any] = [
        (await http.post(f"{API}/api-keys", json=named, headers=head | each)).json()
        for each in ({}, key, key)
    ]
    assert made[1]["api_key_id"] == made[2]["api_key_id"]
    key_id = made[0]["api_key_id"]
    subscription_id = await add_subscription(sessions, admin_id)
    cancel = f"{API}/subscriptions/{subscription_id}/cancel"

    await http.get(f"{API}/api-keys", headers=head)
    await http.post(f"{API}/api-keys", json=named)
    await http.post(f"{API}/api-keys", json={"nam": 1}, headers=head)
    await http.post(f"{API}/nothing", json={}, headers=head)
    await http.post("/breaks")
    await http.put(f"{API}/retry-policies/strict", json=policy, headers=head)
    await http.patch(f"{API}/plans/{key_id}", json={"name": "x"}, headers=head)
    await http.post(cancel, json={"mode": "later"}, headers=head)
    await http.delete(f"{API}/api-keys/{key_id}", headers=head)
    await send_event(http, settings, stripe_event("unknown.event"))

    found = [
        (each.method, each.route, each.status, caller_id(each), each.resource_id) for each in seen
    ]
    subscription = f"{API}/subscriptions/{{subscription_id}}/cancel"
    assert found == [
        ("POST", f"{API}/api-keys", 201, admin_id, made[0]["api_key_id"]),
        ("POST", f"{API}/api-keys", 201, admin_id, made[1]["api_key_id"]),
        ("POST", f"{API}/api-keys", 201, admin_id, made[1]["api_key_id"]),
        ("POST", f"{API}/api-keys", 401, None, None),
        ("POST", f"{API}/api-keys", 422, admin_id, None),
        ("POST", "unknown", 404, None, None),
        ("POST", "/breaks", 500, None, None),
        ("PUT", f"{API}/retry-policies/{{name}}", 200, admin_id, "strict"),
        ("PATCH", f"{API}/plans/{{plan_id}}", 404, admin_id, key_id),
        ("POST", subscription, 422, admin_id, str(subscription_id)),
        ("DELETE", f"{API}/api-keys/{{api_key_id}}", 204, admin_id, key_id),
        ("POST", f"{API}/webhooks/stripe", 200, None, None),
    ]


async def test_a_link_in_a_mail_is_seen_by_what_it_decides_and_never_by_its_token(
    http: httpx.AsyncClient, sessions: Sessions, seen: list[HandledRequest]
) -> None:
    admin_id, user_id = await add_user(sessions, "admin"), await add_user(sessions)
    asked = await add_asked(sessions, user_id)
    token = await add_link(sessions, asked, admin_id)
    for each, form in ((token, {"decision": "approve"}), (token, {}), (f"{token}x", {})):
        await http.post(f"{PATH}/{each}", data=form)
    route = f"{PATH}/{{token}}"
    assert [(each.route, each.status, caller_id(each), each.resource_id) for each in seen] == [
        (route, 503, admin_id, str(asked.approval_id)),
        (route, 422, None, None),
        (route, 404, None, None),
    ]


def caller_id(request: HandledRequest) -> UUID | None:
    return request.caller.user_id if request.caller else None
