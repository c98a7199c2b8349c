"""The ASGI application: routes of the API, the controls, and the background tasks."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.serving import TRANSPORT
from sandbox.stripe import API_VERSION
from sandbox.stripe.api import Answer, Api
from sandbox.stripe.checkout_page import CheckoutPage
from sandbox.stripe.checks import Lenient, Referee
from sandbox.stripe.clock import Clock
from sandbox.stripe.controls import Controls
from sandbox.stripe.engine import Engine
from sandbox.stripe.fault_controls import FaultControls
from sandbox.stripe.faults import Faults
from sandbox.stripe.objects.catalog import coupons, plans, prices, products, promotion_codes
from sandbox.stripe.objects.customers import (
    customer_balance,
    customer_deletion,
    customers,
    payment_method_routes,
    setup_attempts,
    setup_intents,
)
from sandbox.stripe.objects.hosted import (
    checkout_sessions,
    payment_pages,
    portal_configurations,
    portal_sessions,
)
from sandbox.stripe.objects.invoices import (
    attached_payments,
    credit_notes,
    invoice_item_routes,
    invoice_routes,
    previews,
)
from sandbox.stripe.objects.meters import meter_events, meters
from sandbox.stripe.objects.payments import (
    balance,
    charge_routes,
    dispute_routes,
    payment_intents,
    payment_records,
    refunds,
)
from sandbox.stripe.objects.schedules import schedules
from sandbox.stripe.objects.subscriptions import subscription_items, subscriptions
from sandbox.stripe.objects.system import (
    account,
    events,
    none,
    search,
    test_clocks,
    thin_events,
    webhook_endpoints,
)
from sandbox.stripe.pages import Pages
from sandbox.stripe.payment_controls import PaymentControls
from sandbox.stripe.routing import Router
from sandbox.stripe.store import Database, Store
from sandbox.stripe.webhooks import Targets, Webhooks

ROUTES = (
    *account.ROUTES,
    *checkout_sessions.ROUTES,
    *coupons.ROUTES,
    *credit_notes.ROUTES,
    *customer_balance.ROUTES,
    *customer_deletion.ROUTES,
    *balance.ROUTES,
    *charge_routes.ROUTES,
    *customers.ROUTES,
    *dispute_routes.ROUTES,
    *events.ROUTES,
    *invoice_item_routes.ROUTES,
    *attached_payments.ROUTES,
    *invoice_routes.ROUTES,
    *payment_records.ROUTES,
    *meter_events.ROUTES,
    *meters.ROUTES,
    *none.ROUTES,
    *payment_intents.ROUTES,
    *payment_method_routes.ROUTES,
    *payment_pages.ROUTES,
    *previews.ROUTES,
    *plans.ROUTES,
    *portal_configurations.ROUTES,
    *portal_sessions.ROUTES,
    *prices.ROUTES,
    *products.ROUTES,
    *promotion_codes.ROUTES,
    *refunds.ROUTES,
    *schedules.ROUTES,
    *search.ROUTES,
    *setup_attempts.ROUTES,
    *setup_intents.ROUTES,
    *subscription_items.ROUTES,
    *subscriptions.ROUTES,
    *test_clocks.ROUTES,
    *thin_events.ROUTES,
    *webhook_endpoints.ROUTES,
)
log = logging.getLogger("sandbox.stripe.app")


@dataclass(frozen=True)
class Options:
    """How the sandbox is started."""

    data: Path
    base_url: str
    webhook_url: str | None = None
    webhook_secret: str | None = None
    is_checked: bool = False


class DroppedResponse(Response):
    """An answer that gets lost: the connection is cut instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Cut the connection."""
        scope[TRANSPORT].abort()
        # Reason: the server learns of the cut in the loop's next turn and then expects no answer.
        await asyncio.sleep(0.01)


def _response(answer: Answer, key: str | None) -> Response:
    if answer.is_dropped:
        return DroppedResponse()
    headers = {"Request-Id": answer.request_id, "Stripe-Version": API_VERSION}
    if answer.original:
        # Reason: who sends no key is given one, which nobody can have used before.
        headers["Idempotency-Key"] = key or str(uuid4())
        headers["Original-Request"] = answer.original
        if answer.status < 500:
            headers["Stripe-Should-Retry"] = "false"
    headers |= answer.headers
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    is_html = answer.body.startswith(b"<")
    media_type = "text/html" if is_html else "application/json"
    return Response(answer.body, answer.status, headers, media_type=media_type)


def _stop_if_failed(task: asyncio.Task[None]) -> None:
    """End the server with its background work: half a sandbox would only mislead."""
    if not task.cancelled() and task.exception():
        log.critical("background work failed", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _referee(options: Options) -> Referee:
    if not options.is_checked:
        return Lenient()
    # Reason: only the referee needs stripe-python; the sandbox itself does without.
    from sandbox.stripe.checks.referee import SdkReferee  # noqa: PLC0415

    return SdkReferee(options.data)


def build(options: Options) -> Starlette:
    """Return the application over the store in `options.data`."""
    options.data.mkdir(parents=True, exist_ok=True)
    store = Store(Database(options.data / "stripe.sqlite3"))
    faults = Faults()
    targets = Targets(store, options.webhook_url, options.webhook_secret)
    clock = Clock(store)
    webhooks = Webhooks(store, faults, targets, clock)
    referee = _referee(options)
    engine = Engine(store, clock, faults, webhooks, referee, options.base_url)
    api = Api(engine, Router(ROUTES))

    async def answer(request: Request) -> Response:
        encoded = (
            request.url.query
            if request.method in {"GET", "DELETE"}
            else (await request.body()).decode(errors="replace")
        )
        if request.url.path == "/":
            return Response(b'{"status":"ok"}', media_type="application/json")
        headers = request.headers
        given = await api.handle(request.method, request.url.path, encoded, headers)
        return _response(given, headers.get("idempotency-key"))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work.run()) for work in (engine.scheduler, webhooks)]
        for task in tasks:
            task.add_done_callback(_stop_if_failed)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.db.close()
        referee.close()

    methods = ["GET", "POST", "DELETE", "PUT", "PATCH"]
    controls = (Controls(engine), FaultControls(engine), PaymentControls(engine))
    parts = (*controls, Pages(engine), CheckoutPage(engine))
    routes = [route for part in parts for route in part.routes()]
    routes.append(Route("/{path:path}", answer, methods=methods))
    return Starlette(routes=routes, lifespan=lifespan)
