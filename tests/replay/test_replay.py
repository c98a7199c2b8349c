"""Today's code must still take every step that yesterday's histories recorded."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHandle

from commands.replay import read_history, record, replay, replay_command
from database.payment_retries.models import PaymentRetry
from domain.agents.runs import RunStart
from domain.errors import InvalidInputError, NotFoundError
from domain.ids import stripe_operation_workflow_id
from domain.knowledge.documents import IngestStart
from domain.payment_retries.messages import RetryStart
from domain.payment_retries.policy import RetryPolicy
from domain.payments.messages import PaymentStart
from domain.stripe_operations import AnyStripeOperation, AttachPaymentMethod
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.state import SubscriptionStart
from tests.support.world import Customer, World
from workflows.registry import WORKFLOWS
from workflows.stripe_operation import StripeOperationWorkflow

HISTORIES = Path(__file__).parent / "histories"
COMMITTED = sorted(HISTORIES.glob("*.json"))
DAY = timedelta(days=1)


def type_of(path: Path) -> str:
    events = json.loads(path.read_text())["events"]
    name: str = events[0]["workflowExecutionStartedEventAttributes"]["workflowType"]["name"]
    return name


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
async def test_replays(path: Path) -> None:
    verdict = await replay(read_history(path))
    assert verdict.difference is None
    assert verdict.event_count > 5


def test_every_workflow_has_a_history() -> None:
    names = {workflow.__name__ for workflow in WORKFLOWS}
    assert names == {type_of(path) for path in COMMITTED}


def test_histories_name_no_machine() -> None:
    for path in COMMITTED:
        text = path.read_text()
        assert "site-packages" not in text
        assert "@" not in text.replace("@example.com", "")


@workflow.defn(name="SubscriptionWorkflow", sandboxed=False)
class ChangedSubscription:
    """What a careless edit looks like: the first command is another one."""

    @workflow.run
    async def run(self, start: SubscriptionStart) -> None:
        await workflow.sleep(1)

    @workflow.update
    async def command(self, command: dict[str, Any]) -> None:
        await workflow.sleep(1)


@workflow.defn(name="PaymentRetryWorkflow", sandboxed=False)
class ChangedRetry:
    @workflow.run
    async def run(self, start: RetryStart) -> None:
        await workflow.sleep(1)


@workflow.defn(name="StripeOperationWorkflow", sandboxed=False)
class ChangedErrand:
    @workflow.run
    async def run(self, operation: AnyStripeOperation) -> None:
        await workflow.sleep(1)


@workflow.defn(name="IngestDocumentWorkflow", sandboxed=False)
class ChangedIngestion:
    @workflow.run
    async def run(self, start: IngestStart) -> None:
        await workflow.sleep(1)


@workflow.defn(name="PaymentWorkflow", sandboxed=False)
class ChangedPayment:
    @workflow.run
    async def run(self, start: PaymentStart) -> None:
        await workflow.sleep(1)

    @workflow.update
    async def refund(self, order: dict[str, Any]) -> None:
        await workflow.sleep(1)

    @workflow.update
    async def cancel(self, command: dict[str, Any]) -> None:
        await workflow.sleep(1)


@workflow.defn(name="AgentRunWorkflow", sandboxed=False)
class ChangedRun:
    @workflow.run
    async def run(self, start: RunStart) -> None:
        await workflow.sleep(1)

    @workflow.update
    async def decide(self, command: dict[str, Any]) -> None:
        await workflow.sleep(1)

    @workflow.update
    async def cancel(self, command: dict[str, Any]) -> None:
        await workflow.sleep(1)


CHANGED = (
    ChangedSubscription,
    ChangedRetry,
    ChangedErrand,
    ChangedPayment,
    ChangedIngestion,
    ChangedRun,
)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
async def test_the_guard_can_fail(path: Path) -> None:
    verdict = await replay(read_history(path), CHANGED)
    assert verdict.difference is not None
    assert "ondeterminism" in verdict.difference


async def test_the_difference_is_told_with_its_place() -> None:
    path = HISTORIES / "payment-retry-recovered.json"
    verdict = await replay(read_history(path), CHANGED)
    assert verdict.difference is not None
    first, has, wants, sdk = verdict.difference.splitlines()
    assert first.strip() == f"first difference: event 5 of {verdict.event_count}"
    step = 'open_retry ("take over the collection from Stripe")'
    assert has.strip() == f"the history has: activity task scheduled {step}"
    assert wants.strip() == "the current code wants: to start a timer"
    assert "TMPRL1100" in sdk


async def test_a_step_of_another_type_is_found_where_it_stands(tmp_path: Path) -> None:
    """The changed step is the last of several of its type."""
    path = HISTORIES / "payment-retry-recovered.json"
    document = json.loads(path.read_text())
    steps = [
        event
        for event in document["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    ]
    steps[-1]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "charge_invoice"
    (tmp_path / "changed.json").write_text(json.dumps(document))
    difference = (await replay(read_history(tmp_path / "changed.json"))).difference or ""
    assert f"event {steps[-1]['eventId']} of " in difference
    assert "charge_invoice" in difference


async def test_code_that_fails_is_no_other_step() -> None:
    verdict = await replay(read_history(HISTORIES / "payment-retry-recovered.json"), (Failing,))
    assert verdict.difference == "  the current code fails during the replay: it cannot"


@workflow.defn(name="PaymentRetryWorkflow", sandboxed=False)
class Failing:
    @workflow.run
    async def run(self, start: RetryStart) -> None:
        raise ValueError("it cannot")


async def test_what_is_no_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.json"):
        read_history(tmp_path / "nothing.json")
    (tmp_path / "odd.json").write_text("[1, 2]")
    with pytest.raises(InvalidInputError, match=r"odd\.json"):
        read_history(tmp_path / "odd.json")
    with pytest.raises(InvalidInputError, match="not a workflow of this project"):
        await replay(read_history(COMMITTED[0]), (ChangedUnknown,))


async def test_the_command_tells_in_words(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = tmp_path / "stack.json"
    path = next(path for path in COMMITTED if type_of(path) == "PaymentRetryWorkflow")
    assert await replay_command(str(path), nowhere, tmp_path / "kept.json", {}) == 0
    assert "PaymentRetryWorkflow" in capsys.readouterr().out
    assert await replay_command(str(tmp_path / "kept.json"), nowhere, None, {}) == 0
    capsys.readouterr()

    changed = path.read_text().replace('"name": "save_retry"', '"name": "another_step"')
    (tmp_path / "changed.json").write_text(changed)
    assert await replay_command(str(tmp_path / "changed.json"), nowhere, None, {}) == 1
    said = capsys.readouterr().out
    assert "save_retry" in said
    assert "another_step" in said

    assert await replay_command("payment-retry-in_x", nowhere, None, {}) == 2
    assert "no stack runs" in capsys.readouterr().out


@workflow.defn(name="NobodysWorkflow", sandboxed=False)
class ChangedUnknown:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(1)


async def keep(handle: WorkflowHandle[Any, Any], path: Path) -> None:
    """Record a history and replay what was recorded."""
    record(await handle.fetch_history(), path)
    assert (await replay(read_history(path))).difference is None


async def fail(world: World, *script: str, policy: RetryPolicy) -> tuple[Customer, PaymentRetry]:
    customer = await world.subscribe("ok", *script, policy=policy, interval="week")
    while not await customer.retries():
        await world.step(DAY)
    return customer, (await customer.retries())[0]


async def test_what_happens_now_can_be_recorded_and_replayed(
    world: World,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Live the lives again; with `--record` their histories replace the committed ones."""
    folder = HISTORIES if request.config.getoption("--record") else tmp_path
    short = RetryPolicy(schedules={"default": (DAY, DAY)}, grace=5 * DAY)

    customer, retry = await fail(world, "insufficient_funds", "ok", policy=short)
    await world.step(2 * DAY)
    await keep(customer.payment_retry_of(retry), folder / "payment-retry-recovered.json")
    await customer.command(CommandKind.CANCEL_NOW)
    await keep(customer.first_mailbox, folder / "subscription-recovered-canceled.json")

    customer, retry = await fail(world, "lost_card", policy=short)
    await customer.add_card("ok")
    await world.settle()
    await keep(customer.payment_retry_of(retry), folder / "payment-retry-new-card.json")

    customer, retry = await fail(world, "insufficient_funds", policy=short)
    await world.step(3 * DAY)
    await keep(customer.payment_retry_of(retry), folder / "payment-retry-exhausted.json")
    await keep(customer.first_mailbox, folder / "subscription-last-resort.json")

    longer_than_grace = RetryPolicy(schedules={"default": (DAY, 5 * DAY)}, grace=2 * DAY)
    customer, _ = await fail(world, "insufficient_funds", policy=longer_than_grace)
    await world.step(3 * DAY)
    await keep(customer.first_mailbox, folder / "subscription-grace-ended.json")

    operation = AttachPaymentMethod(
        operation_id=uuid4(),
        resource_id=uuid4(),
        user_id=customer.user_id,
        stripe_payment_method_id=await world.card("ok"),
        is_default=True,
    )
    handle = await world.env.client.start_workflow(
        StripeOperationWorkflow.run,
        operation,
        id=stripe_operation_workflow_id(operation.operation_id),
        task_queue="billing",
    )
    with world.env.auto_time_skipping_disabled():
        await handle.result()
    await keep(handle, folder / "stripe-operation-attach.json")
