"""A database in which no other process reviews usage, and customers with overage prices."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from adapters.stripe.client import open_client
from adapters.stripe.meters import StripeMeters
from commands.migrate import migrate_database
from config import Settings
from database.plans.models import Plan
from database.session import Sessions, make_engine, make_sessions
from database.subscriptions.models import Subscription
from database.usage.meter_events import newest_meter_events
from database.usage.models import MeterEvent, UsageRecord
from services.usage.export import StripeUsageExporter, UsageExport
from services.usage.reviews import UsageReviews
from tests.api.support import add_subscription, add_user
from tests.conftest import own_database
from tests.support.streams import add_run
from tests.support.world import STRIPE_HEADERS

NOTHING = timedelta()


@dataclass(frozen=True)
class Metering:
    """Reviews and exports usage at once, and reads what the meters at Stripe have counted."""

    sessions: Sessions
    http: httpx.AsyncClient
    meters: StripeMeters
    url: str

    @property
    def reviews(self) -> UsageReviews:
        return UsageReviews(self.sessions, lease=NOTHING, gather=NOTHING)

    @property
    def export(self) -> UsageExport:
        return UsageExport(self.sessions, StripeUsageExporter(self.meters), lease=NOTHING)

    async def work(self) -> None:
        """Do all that is due now."""
        await self.reviews.review_due()
        while await self.export.send_due():
            pass

    async def counted(self, customer: "BilledCustomer", metric: str = "token_count") -> float:
        """Return what a meter has counted for a customer."""
        now = (await self.http.get("/_sandbox/clock")).json()["now"]
        params: dict[str, Any] = {
            "customer": customer.stripe_customer_id,
            "start_time": int(now) // 60 * 60 - 86_400,
            "end_time": int(now) // 60 * 60 + 120,
        }
        path = f"/v1/billing/meters/{customer.meter_ids[metric]}/event_summaries"
        reply = await self.http.get(path, params=params, headers=STRIPE_HEADERS)
        (summary,) = reply.raise_for_status().json()["data"]
        return float(summary["aggregated_value"])

    async def events(self, customer: "BilledCustomer") -> list[MeterEvent]:
        """Return the meter events of a customer, oldest first."""
        async with self.sessions() as session:
            return list(await newest_meter_events(session, customer.user_id, 1_000))[::-1]


@dataclass(frozen=True)
class BilledCustomer:
    """A user with an active subscription, whose plan has overage prices."""

    sessions: Sessions
    user_id: UUID
    subscription_id: UUID
    stripe_customer_id: str
    meter_ids: dict[str, str]
    period_start: datetime
    run_id: UUID

    async def use(self, tokens: int, at: datetime | None = None, **values: Any) -> None:
        """Store the settled usage of a model call."""
        facts: dict[str, Any] = {
            "user_id": self.user_id,
            "agent_run_id": self.run_id,
            "subscription_id": self.subscription_id,
            "period_start": self.period_start,
            "usage_kind": "model_call",
            "usage_status": "settled",
            "source_key": uuid4().hex,
            "prompt_token_count": tokens,
            "created_at": at or datetime.now(UTC),
            "review_due_at": datetime.now(UTC) - timedelta(seconds=1),
        }
        async with self.sessions.begin() as session:
            session.add(UsageRecord(**(facts | values)))


@pytest.fixture(scope="module")
async def metering(settings: Settings) -> AsyncIterator[Metering]:
    base = settings.stripe.api_base or ""
    with own_database() as server:
        url = server.get_uri()
        migrate_database(url)
        engine = make_engine(url, pool_size=20)
        async with (
            open_client("sk_test_x", base) as client,
            httpx.AsyncClient(base_url=base, timeout=100) as http,
        ):
            yield Metering(make_sessions(engine), http, StripeMeters(client), url)
        await engine.dispose()


@pytest.fixture(autouse=True)
async def no_faults(metering: Metering) -> AsyncIterator[None]:
    yield
    await metering.http.post("/_sandbox/faults", json={})


async def bill(
    metering: Metering, limits: dict[str, Any], *metrics: str, **more: Any
) -> BilledCustomer:
    """Add a customer whose plan has limits, and overage prices of some metrics."""
    user_id = await add_user(metering.sessions)
    form = {"email": f"{user_id.hex}@example.com"}
    made = await metering.http.post("/v1/customers", data=form, headers=STRIPE_HEADERS)
    return await subscribe(
        metering, user_id, made.raise_for_status().json()["id"], limits, *metrics, **more
    )


async def subscribe(
    metering: Metering,
    user_id: UUID,
    stripe_customer_id: str,
    limits: dict[str, Any],
    *metrics: str,
    days_left: float = 20,
) -> BilledCustomer:
    """Subscribe a user to another new plan."""
    subscription_id = await add_subscription(metering.sessions, user_id)
    now = datetime.now(UTC)
    meter_ids = {}
    for metric in metrics:
        name = f"perdure_{subscription_id.hex}_{metric}"
        meter_ids[metric] = await metering.meters.create(name, metric, uuid4().hex)
    async with metering.sessions.begin() as session:
        found = await session.get_one(Subscription, subscription_id)
        found.current_period_start = now - timedelta(days=10)
        found.current_period_end = now + timedelta(days=days_left)
        found.stripe_customer_id = stripe_customer_id
        found.stripe_meter_ids = list(meter_ids.values())
        plan = await session.get_one(Plan, found.plan_id)
        plan.limits_data = limits
        terms = {"unit_amount_decimal": "0.5", "unit_count": 1}
        plan.overage_data = dict.fromkeys(metrics, terms)
        plan.stripe_overage_data = {
            metric: terms
            | {
                "stripe_meter_id": meter_id,
                "event_name": f"perdure_{subscription_id.hex}_{metric}",
                "stripe_price_id": "price_x",
            }
            for metric, meter_id in meter_ids.items()
        }
        period_start = found.current_period_start
    run_id = await add_run(metering.sessions, user_id)
    return BilledCustomer(
        metering.sessions,
        user_id,
        subscription_id,
        stripe_customer_id,
        meter_ids,
        period_start,
        run_id,
    )
