"""A world for billing tests: Temporal's and Stripe's clocks advance together, years in seconds."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from adapters.temporal.search_attributes import add
from bootstrap.workers import run_workers
from config import Settings
from database.accounts.users import UserRepository
from database.payment_retries.models import PaymentRetry
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.plans.models import Plan
from database.session import Sessions
from database.subscriptions.models import Subscription, SubscriptionEvent
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.ids import (
    payment_retry_workflow_id,
    stripe_operation_workflow_id,
    subscription_workflow_id,
)
from domain.payment_retries.policy import RetryPolicy
from domain.plans import PlanRequest, metered_price_ids
from domain.stripe_operations import (
    AttachPaymentMethod,
    CreatePlan,
    StripeOperation,
    StripeOperationResult,
)
from domain.subscriptions.lifecycle import FINAL, CommandKind, SubscriptionStatus
from domain.subscriptions.messages import SubscriptionCommand, SubscriptionRequest
from domain.subscriptions.previews import CouponSnapshot
from domain.subscriptions.state import SubscriptionStart, SubscriptionState
from domain.workflow_names import BILLING, CONTINUE_AS_NEW_AFTER
from tests.conftest import Outside, free_port, start_sandbox, wait_for_url
from tests.support.checked import settle
from workflows.payment_retries.payment_retry import PaymentRetryWorkflow
from workflows.search_attributes import NAMES
from workflows.stripe_operation import StripeOperationWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

DAY = timedelta(days=1)
PAUSE_SECONDS = 0.02
IDLE_READINGS = 3
WAIT_SECONDS = 100
OPEN_TASK = (
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
)
STRIPE_HEADERS = {"Authorization": "Bearer sk_test_x"}


@dataclass
class Customer:
    """A user with a subscription, in a world with skippable time."""

    world: "World"
    user_id: UUID
    subscription_id: UUID
    first_run_id: str | None = None

    @property
    def first_mailbox(self) -> WorkflowHandle[SubscriptionWorkflow, SubscriptionState | None]:
        """Return the first run of the mailbox; a late hint may have started another run since."""
        return self.world.env.client.get_workflow_handle_for(
            SubscriptionWorkflow.run,
            subscription_workflow_id(self.subscription_id),
            run_id=self.first_run_id,
        )

    @property
    def mailbox(self) -> WorkflowHandle[SubscriptionWorkflow, SubscriptionState | None]:
        return self.world.env.client.get_workflow_handle_for(
            SubscriptionWorkflow.run,
            subscription_workflow_id(self.subscription_id),
        )

    def payment_retry_of(self, retry: PaymentRetry) -> WorkflowHandle[PaymentRetryWorkflow, Any]:
        return self.world.env.client.get_workflow_handle_for(
            PaymentRetryWorkflow.run,
            payment_retry_workflow_id(retry.stripe_invoice_id),
        )

    async def row(self) -> Subscription:
        async with self.world.sessions() as session:
            row = await SubscriptionRepository(session).get(self.subscription_id, None)
        assert row is not None
        return row

    async def events(self) -> list[SubscriptionEvent]:
        async with self.world.sessions() as session:
            repository = SubscriptionEventRepository(session)
            return list(await repository.list(self.subscription_id, 0, 500))

    async def retries(self) -> list[PaymentRetry]:
        """Return the payment retries, newest first."""
        async with self.world.sessions() as session:
            page = await PaymentRetryRepository(session).list(
                None,
                50,
                None,
                {"subscription_id": self.subscription_id},
            )
        return list(page.items)

    async def command(
        self, kind: CommandKind, card: str | None = None, **fields: Any
    ) -> SubscriptionState:
        command_id = uuid4()
        return await self.mailbox.execute_update(
            SubscriptionWorkflow.command,
            SubscriptionCommand(
                command_id=command_id,
                kind=kind,
                stripe_payment_method_id=card,
                **fields,
            ),
            id=str(command_id),
        )

    async def add_card(self, *script: str) -> str:
        """Attach a card as the new default, and return Stripe's id."""
        result = await self.world.operate(
            AttachPaymentMethod,
            user_id=self.user_id,
            stripe_payment_method_id=await self.world.card(*script),
            is_default=True,
        )
        assert result.stripe_payment_method_id is not None
        return result.stripe_payment_method_id

    async def leave(self) -> None:
        """Cancel the subscription at once, if it has not ended."""
        # Reason: after a workflow is terminated, the test server never skips time again.
        if SubscriptionStatus((await self.row()).subscription_status) not in FINAL:
            await self.command(CommandKind.CANCEL_NOW)

    async def ledger(self) -> list[dict[str, Any]]:
        """Return the charges, refunds and disputes of this subscription's customer at Stripe."""
        stripe_id = (await self.row()).stripe_customer_id
        reply = await self.world.http.get("/_sandbox/ledger")
        return [row for row in reply.json()["items"] if row["customer"] == stripe_id]

    async def charges(self) -> list[dict[str, Any]]:
        """Return the entries of this subscription in Stripe's ledger."""
        stripe_id = (await self.row()).stripe_subscription_id
        reply = await self.world.http.get("/_sandbox/ledger")
        return [row for row in reply.json()["items"] if row["subscription"] == stripe_id]


@dataclass
class World:
    """A Temporal server with skippable time, and a Stripe sandbox whose clock follows."""

    env: WorkflowEnvironment
    http: httpx.AsyncClient
    sessions: Sessions
    customers: list[Customer] = field(default_factory=list)
    last_seen: str | None = None
    last_activity: list[tuple[int, int]] = field(default_factory=list)

    async def card(self, *script: object) -> str:
        body = {"script": list(script or ("ok",))}
        reply = await self.http.post("/_sandbox/payment-methods", json=body)
        return str(reply.json()["id"])

    async def operate(self, kind: type[StripeOperation], **fields: Any) -> StripeOperationResult:
        operation: Any = kind(operation_id=uuid4(), **{"resource_id": uuid4(), **fields})
        with self.env.auto_time_skipping_disabled():
            return await self.env.client.execute_workflow(
                StripeOperationWorkflow.run,
                operation,
                id=stripe_operation_workflow_id(operation.operation_id),
                task_queue=BILLING,
            )

    async def subscribe(
        self,
        *script: str,
        policy: RetryPolicy | None = None,
        continue_as_new_after: int = CONTINUE_AS_NEW_AFTER,
        discount: CouponSnapshot | None = None,
        **plan: Any,
    ) -> Customer:
        """Sign up a customer with a card that answers charges by a script, and subscribe them."""
        user_id, subscription_id = uuid4(), uuid4()
        async with self.sessions.begin() as session:
            await UserRepository(session).add(user_id, f"{user_id.hex}@example.com")
            name = f"policy-{user_id.hex}"
            await RetryPolicyRepository(session).put(name, policy or RetryPolicy())
        customer = Customer(self, user_id, subscription_id)
        made = await self.operate(CreatePlan, plan=make_plan_request(name, **plan))
        if script:
            await customer.add_card(*script)
        async with self.sessions() as session:
            row = await session.get_one(Plan, made.resource_id)
        request = SubscriptionRequest(
            user_id=user_id,
            plan_id=row.plan_id,
            stripe_price_id=row.stripe_price_id,
            metered_price_ids=metered_price_ids(row.overage_data, row.stripe_overage_data),
            trial_days=row.trial_days,
            has_card=bool(script),
            discount=discount,
        )
        start = SubscriptionStart.new(subscription_id, request)
        started = await self.env.client.start_workflow(
            SubscriptionWorkflow.run,
            start.model_copy(update={"continue_as_new_after": continue_as_new_after}),
            id=subscription_workflow_id(subscription_id),
            task_queue=BILLING,
        )
        customer.first_run_id = started.first_execution_run_id
        self.customers.append(customer)
        await self.settle()
        return customer

    async def step(self, length: timedelta) -> None:
        """Advance both clocks, by at most one day at a time."""
        while length > timedelta():
            part = min(length, DAY)
            await self.env.sleep(part)
            length -= part
            await self.settle()

    async def align_clocks(self) -> None:
        """Advance Temporal to Stripe's time: a test before may have advanced Stripe alone."""
        sandbox = (await self.http.get("/_sandbox/clock")).json()["now"]
        ahead = datetime.fromtimestamp(sandbox, UTC) - await self.env.get_current_time()
        if ahead > timedelta(seconds=1):
            await self.env.sleep(ahead)

    async def settle(self) -> None:
        """Advance Stripe to Temporal's time, send hints, and wait until all workflows are idle."""
        server_now = await self.env.get_current_time()
        sandbox = (await self.http.get("/_sandbox/clock")).json()["now"]
        behind = server_now - datetime.fromtimestamp(sandbox, UTC)
        if behind > timedelta(seconds=1):
            seconds = int(behind.total_seconds())
            await self.http.post("/_sandbox/clock/advance", json={"seconds": seconds})
        activity = [await self._activity(customer) for customer in self.customers]
        if await self._send_hints() or activity != self.last_activity:
            await self._wait_until_idle()

    async def _send_hints(self) -> bool:
        """Send the mailboxes hints of Stripe's new events, and return whether there were any."""
        hints = await self.news_by_subscription()
        for customer in self.customers:
            if ids := hints.get(str(customer.subscription_id)):
                await self.hint(customer.subscription_id, ids)
        return bool(hints)

    async def news_by_subscription(self) -> dict[str, list[str]]:
        """Return the ids of Stripe's new events, by our id of their subscription."""
        hints: dict[str, list[str]] = {}
        for event in await self._new_events():
            stripe_object = event["data"]["object"]
            parent = stripe_object.get("parent") or {}
            details = parent.get("subscription_details") or stripe_object
            owner = (details.get("metadata") or {}).get("subscription_id")
            if owner:
                hints.setdefault(owner, []).append(event["id"])
        return hints

    async def hint(self, subscription_id: UUID, event_ids: list[str]) -> None:
        """Signal the mailbox as the dispatcher does, and start its workflow if there is none."""
        await self.env.client.start_workflow(
            SubscriptionWorkflow.run,
            SubscriptionStart.new(subscription_id),
            id=subscription_workflow_id(subscription_id),
            task_queue=BILLING,
            start_signal="hint",
            start_signal_args=[event_ids],
        )

    async def _new_events(self) -> list[Any]:
        """Return Stripe's events since the last call, oldest first."""
        events: list[Any] = []
        while True:
            cursor = self.last_seen
            params = {"limit": "100", **({"ending_before": cursor} if cursor else {})}
            reply = await self.http.get("/v1/events", params=params, headers=STRIPE_HEADERS)
            # Reason: an event that is older than 30 days is gone at Stripe, and no cursor any more.
            if cursor and reply.status_code == 404:
                self.last_seen = None
                continue
            page = reply.json()
            events += reversed(page["data"])
            if page["data"]:
                self.last_seen = page["data"][0]["id"]
            # Reason: without a cursor the following pages hold older events.
            if not cursor or not page["has_more"]:
                return events

    async def _wait_until_idle(self) -> None:
        """Wait until no workflow of the customers is running a task or an activity."""
        idle_count = 0
        for _ in range(int(WAIT_SECONDS / PAUSE_SECONDS)):
            activity = [await self._activity(customer) for customer in self.customers]
            is_busy = any(pending for _, pending in activity)
            idle_count = 0 if is_busy or activity != self.last_activity else idle_count + 1
            self.last_activity = activity
            # Reason: a task may end after the reading, and schedule an activity.
            if (
                idle_count >= IDLE_READINGS
                and not await self._has_open_task()
                and activity == [await self._activity(customer) for customer in self.customers]
            ):
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise TimeoutError("the customers' workflows do not become idle")

    async def _activity(self, customer: Customer) -> tuple[int, int]:
        """Return the length of the customer's histories, and the number of pending activities."""
        length = pending = 0
        for handle in await self._workflows(customer):
            try:
                described = await handle.describe()
            except RPCError as error:
                # Reason: the test server loses sight of a workflow for a moment as it ends.
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return -1, 1
            length += described.history_length
            pending += len(described.raw_description.pending_activities)
        return length, pending

    async def _has_open_task(self) -> bool:
        """Return whether a workflow task is scheduled or running.

        Reason: on a busy machine a worker may take a while before it starts a scheduled task.
        """
        for customer in self.customers:
            for handle in await self._workflows(customer):
                last = (await handle.fetch_history()).events[-1].event_type
                if last in OPEN_TASK:
                    return True
        return False

    async def _workflows(self, customer: Customer) -> list[WorkflowHandle[Any, Any]]:
        """Return the workflows of the subscription and its payment retries, also without a row."""
        mailbox = await customer.mailbox.describe()
        ids = [payment_retry_workflow_id(row.stripe_invoice_id) for row in await customer.retries()]
        ids += [child.workflow_id for child in mailbox.raw_description.pending_children]
        handle = self.env.client.get_workflow_handle
        return [handle(workflow_id) for workflow_id in dict.fromkeys([mailbox.id, *ids])]


def make_plan_request(policy: str, **changes: Any) -> PlanRequest:
    """Return the request for a new plan with a retry policy."""
    return PlanRequest(
        **{
            "code": f"plan-{uuid4().hex}",
            "name": "Pro",
            "amount_cents": 2_900,
            "currency_code": "usd",
            "interval": "month",
            "interval_count": 1,
            "trial_days": 0,
            "features": {},
            "limits": {},
            "retry_policy": policy,
            **changes,
        },
    )


@pytest.fixture(scope="session")
def own_stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Stripe sandbox whose clock only these tests advance, and which sends no webhooks."""
    port = free_port()
    data = tmp_path_factory.mktemp("own-stripe")
    child = start_sandbox("sandbox.stripe", data, "--port", str(port))
    wait_for_url(f"http://127.0.0.1:{port}/_sandbox/health")
    url = f"http://127.0.0.1:{port}"
    yield url
    try:
        settle(url)
    finally:
        child.terminate()
        child.wait(10)


@pytest.fixture
async def world(endless_world: World) -> AsyncIterator[World]:
    """Return the world, and cancel its subscriptions after the test, so that none renews later."""
    await endless_world.align_clocks()
    yield endless_world
    for customer in endless_world.customers:
        await customer.leave()
    endless_world.customers.clear()


@pytest.fixture(scope="session")
async def endless_world(
    own_stripe: str,
    outside: Outside,
    settings: Settings,
    sessions: Sessions,
) -> AsyncIterator[World]:
    stripe = settings.stripe.model_copy(update={"api_base": own_stripe})
    # Reason: other workers of this database report to another sandbox.
    worker = settings.worker.model_copy(update={"is_metering": False})
    ours = settings.model_copy(update={"stripe": stripe, "worker": worker})
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_time_skipping(
                data_converter=pydantic_data_converter,
                test_server_existing_path=str(Path(sys.prefix) / "bin" / "temporal-test-server"),
            ),
        )
        await add(env.client, NAMES)
        await stack.enter_async_context(run_workers(env.client, ours, sessions))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=own_stripe, timeout=100))
        yield World(env, http, sessions)
