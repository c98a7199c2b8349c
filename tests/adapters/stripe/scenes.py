"""Objects that the adapters read, made by Stripe's stand-in, and answered again with changes."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import stripe
from starlette.applications import Starlette

from adapters.stripe.cards import StripeCards
from adapters.stripe.catalog import StripeCatalog
from adapters.stripe.changes import StripeChanges
from adapters.stripe.client import StripeHealth
from adapters.stripe.coupons import StripeCoupons
from adapters.stripe.customers import StripeCustomers
from adapters.stripe.invoice_items import StripeInvoiceItems
from adapters.stripe.invoices import StripeInvoices
from adapters.stripe.payments import StripePayments
from adapters.stripe.previews import StripePreviews
from adapters.stripe.refunds import StripeRefunds
from adapters.stripe.schedules import CurrentSchedule, StripeSchedules
from adapters.stripe.setup_intents import StripeSetupIntents
from adapters.stripe.subscriptions import StripeSubscriptions
from domain.errors import CardDeclinedError
from domain.payments.messages import PaymentRequest, RefundInput
from domain.plans import PlanRequest
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.previews import ChangeTerms, CouponSnapshot, NewTerms
from domain.subscriptions.snapshots import StoredInvoices
from sandbox.stripe.app import Options, build

BASE = "http://sandbox"
MONTH_SECONDS = 32 * 86_400
HEADERS = {"Authorization": "Bearer sk_test_scenes"}

Body = dict[str, Any]
Call = Callable[["Adapters"], Awaitable[object]]


@dataclass(frozen=True)
class Answer:
    """One answer of Stripe's.

    Args:
        method: Of the request.
        path: Of the request, without its query.
        status: HTTP status.
        body: What was answered.
    """

    method: str
    path: str
    status: int
    body: Any


class Recording(stripe.HTTPClient):
    """Asks the stand-in, and keeps what it answers."""

    name = "recording"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self._http = http

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        reply = await self._http.request(
            method, url, headers=dict(headers or {}), content=post_data
        )
        path = urlsplit(url).path
        self.answers.append(Answer(method.upper(), path, reply.status_code, reply.json()))
        return reply.content, reply.status_code, reply.headers

    async def close_async(self) -> None:
        await self._http.aclose()


class Replaying(stripe.HTTPClient):
    """Answers what was recorded, in the same order."""

    name = "replaying"

    def __init__(self) -> None:
        super().__init__()
        self._answers: Iterator[Answer] = iter(())

    def answer_with(self, *answers: Answer) -> None:
        """Set what is answered from now on."""
        self._answers = iter(answers)

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = next(self._answers, None)
        if answer is None:
            # Reason: a changed answer may lead to more questions; to those there is no answer.
            missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
            return json.dumps(missing).encode(), 404, {}
        if (method.upper(), urlsplit(url).path) != (answer.method, answer.path):
            missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
            return json.dumps(missing).encode(), 404, {}
        return json.dumps(answer.body).encode(), answer.status, {"request-id": "req_1"}

    async def close_async(self) -> None:
        return


class Adapters:
    """All adapters of Stripe over one client."""

    def __init__(self, http_client: stripe.HTTPClient) -> None:
        client = stripe.StripeClient(
            "sk_test_scenes",
            base_addresses={"api": BASE},
            max_network_retries=0,
            http_client=http_client,
        )
        self.cards = StripeCards(client)
        self.catalog = StripeCatalog(client)
        self.changes = StripeChanges(client)
        self.coupons = StripeCoupons(client)
        self.customers = StripeCustomers(client)
        self.health = StripeHealth(client)
        self.invoice_items = StripeInvoiceItems(client)
        self.invoices = StripeInvoices(client)
        self.payments = StripePayments(client)
        self.previews = StripePreviews(client)
        self.refunds = StripeRefunds(client)
        self.schedules = StripeSchedules(client)
        self.setup_intents = StripeSetupIntents(client)
        self.subscriptions = StripeSubscriptions(client)


@dataclass(frozen=True)
class Scene:
    """A call of an adapter, and what was answered to it."""

    name: str
    call: Call
    answers: tuple[Answer, ...]


@dataclass
class Shop:
    """The stand-in, and what was made there."""

    http: httpx.AsyncClient
    recording: Recording
    scenes: list[Scene] = field(default_factory=list)

    async def post(self, path: str, **params: Any) -> Body:
        """Do something at Stripe, as its Dashboard would; errors are answered too."""
        reply = await self.http.post(path, data=dict(_flat(params)), headers=HEADERS)
        body: Body = reply.json()
        return body

    async def control(self, path: str, **body: Any) -> Body:
        reply = await self.http.post(f"/_sandbox/{path}", json=body)
        made: Body = reply.raise_for_status().json()
        return made

    async def card(self, *script: object) -> str:
        return str((await self.control("payment-methods", script=list(script)))["id"])

    async def record(self, name: str, call: Call) -> object:
        """Make a call, and keep what was answered."""
        self.recording.answers.clear()
        said: object = None
        with suppress(CardDeclinedError):
            said = await call(Adapters(self.recording))
        self.scenes.append(Scene(name, call, tuple(self.recording.answers)))
        return said

    async def customer(self, *script: object) -> tuple[str, UUID]:
        """Sign somebody up, with a default card."""
        user_id = uuid4()
        made = await self.post(
            "/v1/customers", email=f"{user_id.hex}@x.example", metadata={"user_id": str(user_id)}
        )
        if script:
            card = await self.card(*script)
            await self.post(f"/v1/payment_methods/{card}/attach", customer=made["id"])
            settings = {"default_payment_method": card}
            await self.post(f"/v1/customers/{made['id']}", invoice_settings=settings)
        return str(made["id"]), user_id

    async def price(self, **params: Any) -> str:
        product = await self.post("/v1/products", name="Pro")
        recurring = {"interval": "month", **params.pop("recurring", {})}
        made = await self.post(
            "/v1/prices",
            **{
                "product": product["id"],
                "currency": "usd",
                "unit_amount": 2900,
                "recurring": recurring,
            }
            | params,
        )
        return str(made["id"])

    async def renew(self) -> None:
        await self.control("clock/advance", seconds=MONTH_SECONDS)


@asynccontextmanager
async def open_shop(data: Path) -> AsyncIterator[Shop]:
    """Open the stand-in in this process: the same application, without a socket."""
    app: Starlette = build(Options(data=data, base_url=BASE))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as http,
    ):
        yield Shop(http, Recording(http))


async def record_all(shop: Shop) -> None:
    """Record every reading call of the adapters, on every kind of object that they may meet."""
    await _record_catalog(shop)
    await _record_customers(shop)
    await _record_payments(shop)
    await _record_sold(shop)
    await _record_changes(shop)
    await _record_not_sold(shop)
    await _record_renewals(shop)


async def _record_catalog(shop: Shop) -> None:
    plan_id = uuid4()
    plan = PlanRequest(
        code="pro",
        name="Pro",
        amount_cents=2900,
        currency_code="usd",
        interval="month",
        interval_count=1,
        trial_days=0,
        features={},
        limits={},
        retry_policy="default",
    )
    product = str(
        await shop.record("product", lambda to: to.catalog.create_product(plan_id, "Pro", "k:1"))
    )
    await shop.record("found product", lambda to: to.catalog.find_product(plan_id))
    await shop.record(
        "price", lambda to: to.catalog.create_price(product, plan_id, plan, "price:1")
    )
    await shop.record("found price", lambda to: to.catalog.find_price(product, plan_id))
    await shop.record("rename", lambda to: to.catalog.rename_product(product, "Pro 2", "name:1"))
    await shop.record("product name", lambda to: to.catalog.product_name(product))
    await shop.record("balance", lambda to: to.health.ping())


async def _record_customers(shop: Shop) -> None:
    user_id = uuid4()
    made = str(
        await shop.record(
            "customer", lambda to: to.customers.create(user_id, "a@x.example", None, "c:1")
        )
    )
    card = await shop.card("ok")
    await shop.record("attach", lambda to: to.cards.attach(card, made, "attach:1"))
    await shop.record("attached", lambda to: to.cards.attached(card, made))
    await shop.record("use card", lambda to: to.cards.use_card(made, card, "use:1"))
    await shop.record("found customer", lambda to: to.customers.find(user_id, "a@x.example"))
    await shop.record("read customer", lambda to: to.customers.read(made))
    await shop.record("default card", lambda to: to.cards.default_card(made))
    await shop.record("chargeable", lambda to: to.cards.chargeable(card))
    intent = str(
        await shop.record("set-up", lambda to: to.setup_intents.create(made, user_id, "s"))
    )
    await shop.record("found set-up", lambda to: to.setup_intents.find(made, user_id))
    await shop.record("set-up secret", lambda to: to.setup_intents.client_secret(intent))
    await shop.record("detach", lambda to: to.cards.detach(card, "detach:1"))
    await shop.http.delete(f"/v1/customers/{made}", headers=HEADERS)
    await shop.record("deleted customer", lambda to: to.customers.read(made))
    await shop.record("deleted default card", lambda to: to.cards.default_card(made))


async def _record_payments(shop: Shop) -> None:
    for name, outcome in {
        "paid": "ok",
        "declined": "generic_decline",
        "declined by code": "expired_card",
        "challenged": "authentication_required",
    }.items():
        customer_id, _ = await shop.customer(outcome)
        cards = await shop.http.get(f"/v1/customers/{customer_id}/payment_methods", headers=HEADERS)
        payment_id = uuid4()
        request = PaymentRequest(
            user_id=uuid4(),
            amount_cents=2500,
            currency_code="usd",
            stripe_payment_method_id=cards.json()["data"][0]["id"],
            return_url="https://x.example/back",
        )
        intent = str(
            await shop.record(
                f"payment {name}",
                _pay(payment_id, customer_id, request),
            )
        )
        await shop.record(f"found payment {name}", _find_payment(payment_id, customer_id))
        await shop.record(f"read payment {name}", _read_payment(intent))
        if name == "challenged":
            await _record_challenge(shop, intent)
        if name == "paid":
            await _record_refunds(shop, intent, payment_id)


async def _record_challenge(shop: Shop, intent: str) -> None:
    await shop.control(f"3ds/{intent}", outcome="failed")
    await shop.record("read payment, 3-D Secure failed", _read_payment(intent))
    await shop.record("cancel payment", lambda to: to.payments.cancel(intent, False, "x:1"))


async def _record_refunds(shop: Shop, intent: str, payment_id: UUID) -> None:
    order = RefundInput(payment_id=payment_id, refund_id=uuid4(), reason="duplicate")
    await shop.record("refund", lambda to: to.refunds.create(intent, order, 100, "r:1"))
    await shop.record("refunds", lambda to: to.refunds.list(intent))


async def _record_sold(shop: Shop) -> None:
    customer_id, user_id = await shop.customer("ok")
    price, subscription_id = await shop.price(), uuid4()
    request = SubscriptionRequest(
        user_id=user_id, plan_id=uuid4(), stripe_price_id=price, has_card=True, trial_days=3
    )
    made = str(
        await shop.record(
            "subscription",
            lambda to: to.subscriptions.create(subscription_id, customer_id, request, "sub:1"),
        )
    )
    await shop.record(
        "found subscription", lambda to: to.subscriptions.find(subscription_id, customer_id)
    )
    await shop.record("own card", lambda to: to.subscriptions.default_card(made))
    await shop.record("status", lambda to: to.subscriptions.status(made))
    await shop.record("pause", lambda to: to.subscriptions.pause(made, "pause:1"))
    await shop.record("paused", _read(made))
    await shop.record("cancel", lambda to: to.subscriptions.cancel(made))
    await shop.record("canceled", _read(made))


async def _record_changes(shop: Shop) -> None:
    """Record changes of what a subscription costs, with their previews."""
    customer_id, _ = await shop.customer("ok")
    made = await shop.post(
        "/v1/subscriptions", customer=customer_id, items=[{"price": await shop.price()}]
    )
    other, stripe_id, command_id = await shop.price(unit_amount=9_000), str(made["id"]), uuid4()
    held = await Adapters(shop.recording).subscriptions.status(stripe_id)
    terms = ChangeTerms(stripe_price_id=other, quantity=2)
    await shop.record("preview now", lambda to: to.previews.change_now(held, terms, "p:1"))
    await shop.record("preview renewal", lambda to: to.previews.renewal(held, terms, "p:2"))
    new = NewTerms(plan_id=uuid4(), stripe_price_id=other)
    await shop.record("preview start", lambda to: to.previews.start(None, new, None, "p:3"))
    coupon = await shop.post("/v1/coupons", percent_off=10, duration="once", name="Gift")
    promotion = {"type": "coupon", "coupon": coupon["id"]}
    code = await shop.post("/v1/promotion_codes", promotion=promotion)
    await shop.record("coupon", lambda to: to.coupons.coupon(coupon["id"]))
    gift = await shop.record("promotion code", lambda to: to.coupons.by_code(code["code"]))
    assert isinstance(gift, CouponSnapshot)
    await shop.record("discount", lambda to: to.changes.apply_discount(stripe_id, gift, "d:1"))
    await shop.record("discounts", lambda to: to.changes.discounts(stripe_id))
    await shop.record("change", lambda to: to.changes.change(held, terms, command_id, "change:1"))
    await shop.record("found change", lambda to: to.changes.find_change(stripe_id, command_id))
    await shop.record("schedule", lambda to: to.schedules.create(stripe_id, "s:1"))
    current = await shop.record("scheduled", lambda to: to.schedules.of_subscription(stripe_id))
    assert isinstance(current, CurrentSchedule)
    ids = {"subscription_id": str(uuid4()), "command_id": str(command_id)}
    now = await Adapters(shop.recording).subscriptions.status(stripe_id)
    await shop.record("plan", lambda to: to.schedules.plan(current, now, terms, ids, None, "s:2"))
    await shop.record("planned", _read(stripe_id))
    schedule_id = current.stripe_schedule_id
    await shop.record("read schedule", lambda to: to.schedules.read(schedule_id))
    await shop.record("release", lambda to: to.schedules.release(schedule_id, "s:3"))
    await shop.record("no discount", lambda to: to.changes.remove_discount(stripe_id, "d:2"))


async def _record_not_sold(shop: Shop) -> None:
    """Record what can be made in the Dashboard only."""
    customer_id, _ = await shop.customer("ok")
    meter = await shop.post(
        "/v1/billing/meters",
        display_name="Calls",
        event_name="calls",
        default_aggregation={"formula": "sum"},
    )
    metered = await shop.price(
        recurring={"usage_type": "metered", "meter": meter["id"]}, unit_amount=1
    )
    flat, other = await shop.price(), await shop.price(unit_amount=500)
    kinds: dict[str, dict[str, Any]] = {
        "metered": {"items": [{"price": metered}]},
        "metered and flat": {"items": [{"price": metered}, {"price": flat}]},
        "several items": {"items": [{"price": flat, "quantity": 2}, {"price": other}]},
        "sent": {
            "items": [{"price": flat}],
            "collection_method": "send_invoice",
            "days_until_due": 7,
        },
    }
    for name, params in kinds.items():
        made = await shop.post("/v1/subscriptions", customer=customer_id, **params)
        await shop.record(name, _read(made["id"]))
        if (invoice := made["latest_invoice"]) is not None:
            await shop.record(f"{name}: invoice", _read_invoice(invoice))
    await shop.record("owed", lambda to: to.invoices.list_failed_open(customer_id))


async def _record_renewals(shop: Shop) -> None:
    """Record renewals that failed in every way that has a shape of its own."""
    scripts: dict[str, object] = {
        "renewed": "ok",
        "declined": "insufficient_funds",
        "declined without advice": "generic_decline",
        "declined without decline code": "expired_card",
        "declined with nothing": {
            "decline": "insufficient_funds",
            "advice_code": None,
            "decline_code": None,
            "network_decline_code": None,
        },
        "to be authenticated": "authentication_required",
    }
    price = await shop.price()
    made: dict[str, Body] = {}
    for name, outcome in scripts.items():
        customer_id, _ = await shop.customer("ok", outcome)
        made[name] = await shop.post(
            "/v1/subscriptions", customer=customer_id, items=[{"price": price}]
        )
    await shop.post(
        "/v1/invoiceitems",
        customer=made["declined"]["customer"],
        subscription=made["declined"]["id"],
        amount=300,
        currency="usd",
    )
    await shop.renew()
    for name, subscription in made.items():
        found = await shop.http.get(f"/v1/subscriptions/{subscription['id']}", headers=HEADERS)
        invoice_id = found.json()["latest_invoice"]
        await shop.record(f"{name}: subscription", _read(subscription["id"]))
        await shop.record(f"{name}: invoice", _read_invoice(invoice_id))
    await _record_collection(shop, made, scripts)


async def _record_collection(shop: Shop, made: dict[str, Body], scripts: dict[str, object]) -> None:
    """Record what is done about invoices of renewals that failed."""
    owing = made["declined"]
    found = await shop.http.get(f"/v1/subscriptions/{owing['id']}", headers=HEADERS)
    invoice_id = found.json()["latest_invoice"]
    await shop.record("collected", lambda to: to.invoices.is_auto_charged(invoice_id))
    await shop.record("invoice status", lambda to: to.invoices.status(invoice_id))
    await shop.record("unsettled", lambda to: to.invoices.list_unsettled(owing["id"]))
    await shop.record("owed by", lambda to: to.invoices.list_failed_open(owing["customer"]))
    await shop.record("stop", lambda to: to.invoices.stop_collection(invoice_id, "stop:1"))
    card = await shop.card("ok")
    await shop.post(f"/v1/payment_methods/{card}/attach", customer=owing["customer"])
    await shop.record(
        "own card set", lambda to: to.subscriptions.use_card(owing["id"], card, "use:2")
    )
    await shop.record("pay", lambda to: to.invoices.pay(invoice_id, card, "pay:1"))
    for name in ("declined without decline code", "declined with nothing"):
        found = await shop.http.get(f"/v1/subscriptions/{made[name]['id']}", headers=HEADERS)
        refused_id = found.json()["latest_invoice"]
        card = await shop.card("expired_card" if "code" in name else scripts[name])
        await shop.post(f"/v1/payment_methods/{card}/attach", customer=made[name]["customer"])
        await shop.record(f"pay {name}", _pay_invoice(refused_id, card))
    lost = made["declined without advice"]
    found = await shop.http.get(f"/v1/subscriptions/{lost['id']}", headers=HEADERS)
    lost_id = found.json()["latest_invoice"]
    await shop.record("uncollectible", lambda to: to.invoices.mark_uncollectible(lost_id, "bad:1"))
    await shop.record("void", lambda to: to.invoices.void(lost_id, "void:1"))


def _read(stripe_subscription_id: str) -> Call:
    return lambda to: to.subscriptions.read(stripe_subscription_id, StoredInvoices())


def _read_invoice(stripe_invoice_id: str) -> Call:
    return lambda to: to.invoices.read(stripe_invoice_id)


def _pay_invoice(stripe_invoice_id: str, card: str) -> Call:
    return lambda to: to.invoices.pay(stripe_invoice_id, card, f"pay:{stripe_invoice_id}")


def _read_payment(stripe_payment_intent_id: str) -> Call:
    return lambda to: to.payments.read(stripe_payment_intent_id)


def _find_payment(payment_id: UUID, customer_id: str) -> Call:
    return lambda to: to.payments.find(payment_id, customer_id)


def _pay(payment_id: UUID, customer_id: str, request: PaymentRequest) -> Call:
    return lambda to: to.payments.pay(payment_id, customer_id, request, f"pay:{payment_id}")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in entries:
            yield from _flat(inner, f"{name}[{key}]" if name else str(key))
    else:
        yield name, str(value).lower() if isinstance(value, bool) else str(value)
