"""Many customers side by side in one world: one step of the clocks for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from temporalio.service import RPCError, RPCStatusCode

from database.accounts.models import User
from database.accounts.users import UserRepository
from database.payment_retries.models import PaymentRetry
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.plans.models import Plan
from database.subscriptions.models import Subscription
from domain.ids import subscription_workflow_id
from domain.payment_retries.policy import RetryPolicy
from domain.plans import PlanRequest
from domain.stripe_operations import AttachPaymentMethod, CreatePlan
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.state import SubscriptionStart
from domain.workflow_names import BILLING
from tests.support.world import World
from workflows.subscriptions.subscription import SubscriptionWorkflow

PATIENCE_SECONDS = 150
PAUSE_SECONDS = 0.3
AT_ONCE = 16


@dataclass
class Member:
    """One of many customers, and what the crowd was told of them last."""

    name: str
    script: Sequence[object]
    user_id: UUID
    subscription_id: UUID
    card: str = ""

    @property
    def email(self) -> str:
        return f"{self.user_id.hex}@example.com"


@dataclass(frozen=True)
class Standing:
    """The rows of one customer."""

    subscription: Subscription
    retries: Sequence[PaymentRetry]

    @property
    def retry(self) -> PaymentRetry:
        (retry,) = self.retries
        return retry


class Crowd:
    """Customers of one plan; each has a card that answers by a script of its own."""

    def __init__(self, world: World, scripts: dict[str, Sequence[object]]) -> None:
        self.world = world
        self.members = [Member(name, script, uuid4(), uuid4()) for name, script in scripts.items()]

    @property
    def addresses(self) -> list[str]:
        """Return everybody's e-mail address."""
        return [member.email for member in self.members]

    async def sign_up(self) -> None:
        """Make users with cards."""
        async with self.world.sessions.begin() as session:
            for member in self.members:
                await UserRepository(session).add(member.user_id, member.email)
        await self._each(self._add_card)

    async def subscribe(self, policy: RetryPolicy, interval: str = "week") -> None:
        """Subscribe all to one plan."""
        name = f"policy-{uuid4().hex}"
        async with self.world.sessions.begin() as session:
            await RetryPolicyRepository(session).put(name, policy)
        plan = PlanRequest(
            code=name,
            name="Pro",
            amount_cents=2_900,
            currency_code="usd",
            interval=interval,
            interval_count=1,
            trial_days=0,
            features={},
            limits={},
            retry_policy=name,
        )
        made = await self.world.operate(CreatePlan, plan=plan)
        async with self.world.sessions() as session:
            row = await session.get_one(Plan, made.resource_id)

        async def start(member: Member) -> None:
            request = SubscriptionRequest(
                user_id=member.user_id,
                plan_id=row.plan_id,
                stripe_price_id=row.stripe_price_id,
                has_card=True,
            )
            await self.world.env.client.start_workflow(
                SubscriptionWorkflow.run,
                SubscriptionStart(subscription_id=member.subscription_id, request=request),
                id=subscription_workflow_id(member.subscription_id),
                task_queue=BILLING,
            )

        await self._each(start)

    async def pass_time(self, length: timedelta) -> None:
        """Let time pass on both clocks, and tell the mailboxes what is new at Stripe."""
        env = self.world.env
        until = await env.get_current_time() + length
        while (left := until - await env.get_current_time()) > timedelta():
            try:
                await env.sleep(left)
            except RPCError as error:  # the test server ends a call that waits for long
                if error.status is not RPCStatusCode.CANCELLED:
                    raise
        await self.catch_up()

    async def catch_up(self) -> None:
        """Bring Stripe to Temporal's time, and tell the mailboxes what is new there."""
        world = self.world
        server_now = await world.env.get_current_time()
        sandbox = (await world.http.get("/_sandbox/clock")).json()["now"]
        behind = int((server_now - datetime.fromtimestamp(sandbox, UTC)).total_seconds())
        if behind > 0:
            await world.http.post("/_sandbox/clock/advance", json={"seconds": behind})
        hints = await world.news_by_subscription()
        await asyncio.gather(
            *(
                world.hint(member.subscription_id, ids)
                for member in self.members
                if (ids := hints.get(str(member.subscription_id)))
            )
        )

    async def reaches(
        self,
        what: str,
        is_there: Callable[[Member, Standing], bool],
    ) -> dict[str, Standing]:
        """Wait until all stand somewhere, while Stripe goes on telling what is new."""
        late: list[str] = []
        for _ in range(int(PATIENCE_SECONDS / PAUSE_SECONDS)):
            now = await self.standings()
            late = [
                member.name
                for member in self.members
                if member.name not in now or not is_there(member, now[member.name])
            ]
            if not late:
                return now
            await asyncio.sleep(PAUSE_SECONDS)
            await self.catch_up()
        shown = {name: _shown(now[name]) for name in late if name in now}
        raise TimeoutError(f"{what}: {shown}")

    async def standings(self) -> dict[str, Standing]:
        """Return everybody's rows."""
        ids = [member.subscription_id for member in self.members]
        async with self.world.sessions() as session:
            rows = await session.scalars(
                select(Subscription).where(Subscription.subscription_id.in_(ids))
            )
            by_id = {row.subscription_id: row for row in rows}
            retries = list(
                await session.scalars(
                    select(PaymentRetry).where(PaymentRetry.subscription_id.in_(ids))
                )
            )
        return {
            member.name: Standing(
                by_id[member.subscription_id],
                [r for r in retries if r.subscription_id == member.subscription_id],
            )
            for member in self.members
            if member.subscription_id in by_id
        }

    async def charges(self) -> dict[str, list[tuple[str, str | None]]]:
        """Return how each charge of everybody ended, by Stripe's own ledger, oldest first."""
        ledger = (await self.world.http.get("/_sandbox/ledger")).json()["items"]
        async with self.world.sessions() as session:
            users = await session.scalars(
                select(User).where(User.user_id.in_([m.user_id for m in self.members]))
            )
            customers = {user.user_id: user.stripe_customer_id for user in users}
        return {
            member.name: [
                (row["outcome"], row["decline_code"])
                for row in ledger
                if row["kind"] == "charge" and row["customer"] == customers[member.user_id]
            ]
            for member in self.members
        }

    async def _add_card(self, member: Member) -> None:
        made = await self.world.operate(
            AttachPaymentMethod,
            user_id=member.user_id,
            stripe_payment_method_id=await self.world.card(*member.script),
            is_default=True,
        )
        member.card = made.stripe_payment_method_id or ""

    async def _each(self, act: Callable[[Member], Awaitable[None]]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(member: Member) -> None:
            async with gate:
                await act(member)

        with self.world.env.auto_time_skipping_disabled():
            await asyncio.gather(*(one(member) for member in self.members))


def _shown(standing: Standing) -> Any:
    row = standing.subscription
    retries = [
        (retry.retry_status, retry.attempt_count, retry.decline_code, retry.parked_data)
        for retry in standing.retries
    ]
    return row.subscription_status, row.parked_data, retries
