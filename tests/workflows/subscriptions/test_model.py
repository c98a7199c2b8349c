"""Random commands and events, several subscriptions at once: the table is obeyed, and the view
is what Stripe has, after each step."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.subscriptions.lifecycle import CommandKind, RefusalCode, SubscriptionStatus, decide
from domain.subscriptions.messages import CancelRefund
from tests.support.world import STRIPE_HEADERS, Customer, World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
K = CommandKind
Result = TypeVar("Result")
CROWD = 4
COMMANDS = (
    K.CANCEL_NOW, K.CANCEL_AT_PERIOD_END, K.UNCANCEL, K.PAUSE, K.RESUME, K.CHANGE_PAYMENT_METHOD,
    K.CONFIRM, K.EXTEND_TRIAL, K.END_TRIAL, K.RETRY_PARKED,
)  # fmt: skip
# Refusals by what Stripe answered, not by the table.
BY_STRIPE = {"payment_failed", "trial_end_not_later"}
SCRIPTS = ((), ("ok",), ("ok", "insufficient_funds", "ok"), ("authentication_required", "ok"))


async def act(customer: Customer, action: str, card: tuple[str, ...]) -> None:
    """Do something as the customer, or at Stripe as the Dashboard does."""
    row = await customer.row()
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    world, post = customer.world, customer.world.http.post
    match action:
        case "card":
            await customer.add_card(*(card or ("ok",)))
        case "pay":
            found = (await world.http.get(path, headers=STRIPE_HEADERS)).json()
            method = await world.card("ok")
            await post(f"/i/{found.get('latest_invoice')}", json={"payment_method": method})
        case "end at Stripe":
            await world.http.delete(path, headers=STRIPE_HEADERS)
        case "end later at Stripe":
            await post(path, data={"cancel_at_period_end": "true"}, headers=STRIPE_HEADERS)
        case "more at Stripe":
            found = (await world.http.get(path, headers=STRIPE_HEADERS)).json()
            item = {"items[0][id]": found["items"]["data"][0]["id"], "items[0][quantity]": "3"}
            quiet = {"proration_behavior": "none"}
            await post(path, data=item | quiet, headers=STRIPE_HEADERS)


ACTIONS = ("card", "pay", "end at Stripe", "end later at Stripe", "more at Stripe")


async def is_to_end(customer: Customer) -> bool:
    """Tell whether the end of a subscription is planned at Stripe."""
    path = f"/v1/subscriptions/{(await customer.row()).stripe_subscription_id}"
    found = (await customer.world.http.get(path, headers=STRIPE_HEADERS)).json()
    return found["cancel_at"] is not None


async def command(customer: Customer, kind: CommandKind, fields: dict[str, Any]) -> None:
    """Send a command; a refusal must be the table's, for the status that it names."""
    if kind is K.CHANGE_PAYMENT_METHOD:
        fields = {"card": await customer.add_card("ok")}
    if kind is K.EXTEND_TRIAL:
        now = await customer.world.env.get_current_time()
        fields = {"trial_end": now.replace(microsecond=0) + 20 * DAY}
    try:
        await customer.command(kind, **fields)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        assert isinstance(cause, ApplicationError)
        if cause.type in BY_STRIPE:
            return
        status = SubscriptionStatus(cause.details[0]["subscription_status"])
        expected = decide(status, kind).refusal_code
        if kind is K.PAUSE and expected is None and await is_to_end(customer):
            expected = RefusalCode.ILLEGAL_COMMAND  # what ends is not paused
        assert cause.type == expected, (kind, cause)
    else:
        row = await customer.row()
        if kind is K.CANCEL_NOW:
            assert row.subscription_status == "canceled"


async def check(customer: Customer) -> None:
    """Check that the view is what Stripe has."""
    row = await customer.row()
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    found = (await customer.world.http.get(path, headers=STRIPE_HEADERS)).json()
    item = found["items"]["data"][0]
    ours = {
        "status": row.subscription_status,
        "quantity": row.quantity,
        **{
            name: (at := getattr(row, name)) and int(at.timestamp())
            for name in ("cancel_at", "trial_end", "current_period_start", "current_period_end")
        },
    }
    theirs = {
        "status": found["status"],
        "quantity": item["quantity"],
        "cancel_at": found["cancel_at"],
        "trial_end": found["trial_end"],
        "current_period_start": item["current_period_start"],
        "current_period_end": item["current_period_end"],
    }
    assert ours == theirs
    assert row.parked_data == []


class Subscriptions(RuleBasedStateMachine):
    """Several subscriptions, each with its own card, to which something is done at once."""

    world: ClassVar[World]
    loop: ClassVar[asyncio.AbstractEventLoop]
    customers: list[Customer]

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something in the event loop of the world."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @initialize(scripts=st.lists(st.sampled_from(SCRIPTS), min_size=CROWD, max_size=CROWD))
    def subscribe(self, scripts: list[tuple[str, ...]]) -> None:
        async def work() -> list[Customer]:
            return [
                await self.world.subscribe(*script, interval="week", trial_days=9 * (number % 2))
                for number, script in enumerate(scripts)
            ]

        self.customers = self.wait(work())

    @rule(
        kinds=st.lists(st.sampled_from(COMMANDS), min_size=CROWD, max_size=CROWD),
        refund=st.sampled_from(CancelRefund),
    )
    def send(self, kinds: list[CommandKind], refund: CancelRefund) -> None:
        async def work() -> None:
            pairs = zip(self.customers, kinds, strict=True)
            await asyncio.gather(*(command(who, kind, {"refund": refund}) for who, kind in pairs))

        self.wait(work())
        self.follow()

    @rule(
        actions=st.lists(st.sampled_from(ACTIONS), min_size=CROWD, max_size=CROWD),
        card=st.sampled_from(SCRIPTS),
    )
    def do(self, actions: list[str], card: tuple[str, ...]) -> None:
        async def work() -> None:
            for who, action in zip(self.customers, actions, strict=True):
                await act(who, action, card)

        self.wait(work())
        self.follow()

    @rule(hours=st.sampled_from([1, 30, 80, 170]))
    def pass_time(self, hours: int) -> None:
        self.wait(self.world.step(hours * HOUR))
        self.follow()

    def follow(self) -> None:
        """Check all views, once everything is quiet."""

        async def work() -> None:
            await self.world.settle()
            for customer in self.customers:
                await check(customer)

        self.wait(work())

    def teardown(self) -> None:
        async def work() -> None:
            for customer in self.world.customers:
                await customer.leave()
            self.world.customers.clear()

        self.wait(work())


@pytest.mark.parametrize(
    ("run_count", "step_count", "number"),
    [(2, 6, 1), pytest.param(50, 30, 2, marks=pytest.mark.soak)],
)
async def test_any_commands_and_events_leave_the_view_as_stripe(
    world: World, run_count: int, step_count: int, number: int
) -> None:
    bound = {"world": world, "loop": asyncio.get_running_loop()}
    machine = type("Bound", (Subscriptions,), bound)
    seeded = seed(number)(machine)
    limits = settings(
        max_examples=run_count,
        stateful_step_count=step_count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    await asyncio.to_thread(run_state_machine_as_test, seeded, settings=limits)
