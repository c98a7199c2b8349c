"""Many customers in one world, whose clocks advance for all of them at once."""

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

TIMEOUT_SECONDS = 150
PAUSE_SECONDS = 0.3
AT_ONCE = 16


@dataclass
class Member:
    """One of many customers, with the script of their card."""

    name: str
    script: Sequence[object]
    user_id: UUID
    subscription_id: UUID
    card: str = ""

    @property
    def email(self) -> str:
        return f"{self.user_id.hex}@example.com"


@dataclass(frozen=True)
class CustomerRows:
    """The rows of one customer's subscription and payment retries."""

    subscription: Subscription
    retries: Sequence[PaymentRetry]

    @property
    def retry(self) -> PaymentRetry:
        (retry,) = self.retries
        return retry


class Crowd:
    """Customers of one plan, each with a card that answers charges by a script of its own."""

    def __init__(self, world: World, scripts: dict[str, Sequence[object]]) -> None:
        self.world = world
        self.members = [Member(name, script, uuid4(), uuid4()) for name, script in scripts.items()]

    @property
    def addresses(self) -> list[str]:
        """Return the e-mail addresses of all customers."""
        return [member.email for member in self.members]

    async def sign_up(self) -> None:
        """Make users with cards."""
        async with self.world.sessions.begin() as session:
            for member in self.members:
                await UserRepository(session).add(member.user_id, member.email)
        await self._each(self._add_card)

    async def subscribe(self, policy: RetryPolicy, interval: str = "week") -> None:
        """Subscribe all customers to one plan."""
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
                SubscriptionStart.new(member.subscription_id, request),
                id=subscription_workflow_id(member.subscription_id),
                task_queue=BILLING,
            )

        await self._each(start)

    async def pass_time(self, length: timedelta) -> None:
        """Advance both clocks, and send the mailboxes hints of Stripe's new events."""
        env = self.world.env
        until = await env.get_current_time() + length
        while (left := until - await env.get_current_time()) > timedelta():
            try:
                await env.sleep(left)
            except RPCError as error:  # Reason: the test server cancels calls that take long.
                if error.status is not RPCStatusCode.CANCELLED:
                    raise
        await self.catch_up()

    async def catch_up(self) -> None:
        """Advance Stripe to Temporal's time, and send the mailboxes hints of new events."""
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
        is_there: Callable[[Member, CustomerRows], bool],
    ) -> dict[str, CustomerRows]:
        """Wait until the rows of all customers fulfill a condition, and send hints meanwhile.

        Args:
            what: The condition as text, for the error message.
            is_there: Returns whether a customer's rows fulfill the condition.
        """
        late: list[str] = []
        for _ in range(int(TIMEOUT_SECONDS / PAUSE_SECONDS)):
            rows = await self.rows()
            late = [
                member.name
                for member in self.members
                if member.name not in rows or not is_there(member, rows[member.name])
            ]
            if not late:
                return rows
            await asyncio.sleep(PAUSE_SECONDS)
            await self.catch_up()
        summaries = {name: _summary(rows[name]) for name in late if name in rows}
        raise TimeoutError(f"{what}: {summaries}")

    async def rows(self) -> dict[str, CustomerRows]:
        """Return the rows of each customer, by name."""
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
            member.name: CustomerRows(
                by_id[member.subscription_id],
                [r for r in retries if r.subscription_id == member.subscription_id],
            )
            for member in self.members
            if member.subscription_id in by_id
        }

    async def charges(self) -> dict[str, list[tuple[str, str | None]]]:
        """Return outcome and decline code of each customer's charges, from Stripe's ledger."""
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
        limit = asyncio.Semaphore(AT_ONCE)

        async def act_within_limit(member: Member) -> None:
            async with limit:
                await act(member)

        with self.world.env.auto_time_skipping_disabled():
            await asyncio.gather(*(act_within_limit(member) for member in self.members))


def _summary(rows: CustomerRows) -> Any:
    row = rows.subscription
    retries = [
        (retry.retry_status, retry.attempt_count, retry.decline_code, retry.parked_data)
        for retry in rows.retries
    ]
    return row.subscription_status, row.parked_data, retries
