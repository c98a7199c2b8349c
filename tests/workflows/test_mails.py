"""Mails: written in the transaction of their facts, each once, whatever the hints."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from sqlalchemy import select

from database.notifications.models import DueMail
from database.webhooks.inbox import IncomingEvent, WebhookInboxRepository
from domain.payment_retries.policy import RetryPolicy
from domain.subscriptions.lifecycle import CommandKind
from tests.conftest import Outside
from tests.support.world import STRIPE_HEADERS, Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SHORT = RetryPolicy(schedules={"default": (DAY,)}, grace=5 * DAY)


async def mails_of(customer: Customer) -> Sequence[DueMail]:
    async with customer.world.sessions() as session:
        theirs = select(DueMail).where(DueMail.user_id == customer.user_id)
        return (await session.scalars(theirs.order_by(DueMail.created_at))).all()


async def kinds_of(customer: Customer) -> list[str]:
    return [mail.mail_kind for mail in await mails_of(customer)]


async def repeat_hints(customer: Customer) -> None:
    """Let the mailbox read its subscription again, for no new reason."""
    await customer.world.hint(customer.subscription_id, [f"evt_{uuid4().hex}"])
    await customer.world.settle()


async def test_each_renewal_has_one_receipt(world: World, outside: Outside) -> None:
    customer = await world.subscribe("ok", interval="week")
    await world.step(DAY)
    assert await mails_of(customer) == []  # the first payment is no renewal
    for week in (1, 2):
        await world.step(7 * DAY)
        await repeat_hints(customer)
        assert await kinds_of(customer) == ["renewed"] * week
    paid = [row for row in await customer.charges() if row["outcome"] == "succeeded"]
    mails = await mails_of(customer)
    assert {mail.message_key for mail in mails} == {f"renewed-{row['invoice']}" for row in paid[1:]}
    told = mails[0].variables_data
    assert (told["plan_name"], told["amount_cents"], told["currency_code"]) == ("Pro", 2_900, "usd")
    assert told["link"].startswith("http")


async def test_a_renewal_that_failed_and_recovered_is_told_as_that(world: World) -> None:
    customer = await world.subscribe(
        "ok", "insufficient_funds", "ok", policy=SHORT, interval="week"
    )
    while not await customer.retries():
        await world.step(DAY)
    await repeat_hints(customer)
    assert await kinds_of(customer) == ["payment_failed"]
    (retry,) = await customer.retries()
    assert [mail.resource_id for mail in await mails_of(customer)] == [retry.payment_retry_id]
    await world.step(2 * DAY)
    await repeat_hints(customer)
    assert await kinds_of(customer) == ["payment_failed", "recovered"]


async def test_the_end_of_all_retries_and_of_the_subscription_are_told(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", policy=SHORT, interval="week")
    while (await customer.row()).subscription_status != "canceled":
        await world.step(DAY)
    await repeat_hints(customer)
    kinds = await kinds_of(customer)
    assert (kinds[0], sorted(kinds[1:])) == ("payment_failed", ["canceled", "retries_exhausted"])


async def test_a_cancel_at_once_is_told_once(world: World) -> None:
    customer = await world.subscribe("ok")
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    await repeat_hints(customer)
    (mail,) = await mails_of(customer)
    assert (mail.mail_kind, mail.variables_data["ends_at"]) == ("canceled", None)
    assert mail.resource_id == customer.subscription_id


async def test_a_cancel_at_the_end_is_told_when_it_is_asked_for(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    path = f"subscriptions/{(await customer.row()).stripe_subscription_id}"
    await at_stripe(world, "POST", path, cancel_at_period_end="true")
    await world.settle()
    row = await customer.row()
    assert row.cancel_at is not None
    (mail,) = await mails_of(customer)
    assert (mail.mail_kind, mail.variables_data["ends_at"]) == (
        "canceled",
        row.cancel_at.isoformat(),
    )
    await world.step(8 * DAY)
    assert (await customer.row()).subscription_status == "canceled"
    await repeat_hints(customer)
    assert await kinds_of(customer) == ["canceled"]  # it ends as it was announced


async def test_what_never_began_is_not_told_as_canceled(world: World) -> None:
    customer = await world.subscribe("insufficient_funds")
    assert (await customer.row()).subscription_status == "incomplete"
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    assert await mails_of(customer) == []


async def stripe_events(world: World, event_type: str, customer: Customer) -> list[dict[str, Any]]:
    params = {"type": event_type, "limit": "100"}
    reply = await world.http.get("/v1/events", params=params, headers=STRIPE_HEADERS)
    stripe_id = (await customer.row()).stripe_subscription_id
    return [each for each in reply.json()["data"] if each["data"]["object"]["id"] == stripe_id]


@pytest.mark.parametrize("has_card", [True, False])
async def test_the_end_of_a_trial_is_told_three_days_ahead(world: World, has_card: bool) -> None:
    script = ("ok",) if has_card else ()
    customer = await world.subscribe(*script, trial_days=7, interval="week")
    await world.step(3 * DAY)
    assert await mails_of(customer) == []
    await world.step(DAY + HOUR)
    [event] = await stripe_events(world, "customer.subscription.trial_will_end", customer)
    # The hints of this world come without rows in the inbox.
    async with world.sessions.begin() as session:
        told = IncomingEvent(event["id"], event["type"], orjson.dumps(event))
        await WebhookInboxRepository(session).add([told])
    for _ in range(2):
        await world.hint(customer.subscription_id, [event["id"]])
        await world.settle()
    (mail,) = await mails_of(customer)
    row = await customer.row()
    assert row.trial_end is not None
    assert mail.mail_kind == "trial_ending"
    assert mail.variables_data == {
        "plan_name": "Pro",
        "trial_end": row.trial_end.isoformat(),
        "has_card": has_card,
    }


async def test_mails_are_sent_by_the_workers(world: World, outside: Outside) -> None:
    customer = await world.subscribe("ok")
    await customer.command(CommandKind.CANCEL_NOW)
    await world.settle()
    address = f"{customer.user_id.hex}@example.com"
    with world.env.auto_time_skipping_disabled():
        async with httpx.AsyncClient(base_url=outside.mail, timeout=100) as http:
            told: list[dict[str, Any]] = []
            while not told:
                await asyncio.sleep(0.2)
                reply = await http.get("/_sandbox/mails", params={"to": address})
                told = reply.json()["items"]
    assert [mail["subject"] for mail in told] == ["Your subscription of Pro is canceled"]
