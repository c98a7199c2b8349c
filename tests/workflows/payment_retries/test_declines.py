"""Every decline code of Stripe's list, from the renewal that it fails to the last resort."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.queries.explanations import explain_row
from database.payment_retries.models import PaymentRetry
from database.subscriptions.models import Subscription
from domain.payment_retries.declines import CLASSES
from domain.payment_retries.policy import RetryPolicy
from domain.payments.rules import PaymentStatus
from domain.workflow_names import PAYMENT_HINT
from sandbox.stripe.declines import CHECK, DECLINES, LATER, NEVER
from tests.conftest import Outside
from tests.support.crowd import Crowd
from tests.support.payers import start_paying
from tests.support.world import World

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
POLICY = RetryPolicy(schedules={"default": (DAY,)}, grace=4 * DAY, time_to_respond=DAY)
SOFT, HARD, ASKS = "waiting", "waiting_payment_method", "waiting_authentication"
SUBJECTS = {
    SOFT: "Your payment failed",
    HARD: "Please add another card",
    ASKS: "Please confirm your payment",
}
# What Stripe's pages say of codes without advice: the customer needs another card, or new data.
OTHER_CARD = frozenset(
    {
        "card_not_supported", "currency_not_supported", "do_not_try_again", "expired_card",
        "fraudulent", "incorrect_address", "incorrect_cvc", "incorrect_number", "incorrect_pin",
        "incorrect_zip", "invalid_account", "invalid_cvc", "invalid_expiry_month",
        "invalid_expiry_year", "invalid_number", "invalid_pin", "lost_card",
        "merchant_blacklist", "new_account_information_available", "not_permitted",
        "offline_pin_required", "online_or_offline_pin_required", "pickup_card",
        "pin_try_exceeded", "restricted_card", "revocation_of_all_authorizations",
        "revocation_of_authorization", "security_violation", "stolen_card",
        "stop_payment_order", "test_mode_live_card", "testmode_decline",
        "transaction_not_allowed",
    },
)  # fmt: skip
AUTHENTICATION = frozenset(
    {
        "authentication_required",
        "authentication_not_handled",
        "mobile_device_authentication_required",
    },
)
NOTHING = {
    "advice_code": None,
    "decline_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
}
PARTS = 12
CUSTOMER_COUNT = 4
NEVER_AGAIN = frozenset({NEVER, CHECK})


def scripts() -> dict[str, tuple[object, str]]:
    """Return what each card answers to its renewal, and where that leads."""
    made: dict[str, tuple[object, str]] = {}
    for code, decline in DECLINES.items():
        made[code] = (code, status_after(code, decline.advice_code))
        if decline.advice_code is not None:
            made[f"{code} without advice"] = (f"{code}:none", status_after(code, None))
        if decline.has_decline_code and code != "authentication_required":
            # Then the error's own code is all that is known, and it is as common as can be.
            told = {"decline": code, **NOTHING}
            made[f"{code} without a word"] = (told, status_after(decline.code, None))
    for advice in (LATER, NEVER, CHECK):
        for code in ("insufficient_funds", "generic_decline", "expired_card"):
            name = f"{code}:{advice}"
            made[name] = (name, status_after(code, advice))
    return made


def status_after(code: str, advice: str | None) -> str:
    if advice in NEVER_AGAIN:
        return HARD
    if code in AUTHENTICATION:
        return ASKS
    return HARD if code in OTHER_CARD and advice != LATER else SOFT


def test_every_code_that_an_issuer_can_give_has_its_class() -> None:
    assert set(DECLINES) <= set(CLASSES)
    assert set(CLASSES) >= OTHER_CARD | AUTHENTICATION


LAST_SUBJECTS = {"We could not collect your payment", "Your subscription of Pro is canceled"}
Mails = dict[str, list[dict[str, Any]]]
Seen = tuple[Subscription, PaymentRetry]


async def mails_of(outside: Outside, addresses: Sequence[str], count: int) -> Mails:
    """Return everybody's mails, by address, once everybody has so many; oldest first."""
    async with httpx.AsyncClient(base_url=outside.mail, timeout=100) as http, asyncio.timeout(150):
        while True:
            by_address: Mails = {address: [] for address in addresses}
            for mail in (await http.get("/_sandbox/mails")).json()["items"]:
                if mail["to"] in by_address:
                    by_address[mail["to"]].append(mail)
            if all(len(mails) >= count for mails in by_address.values()):
                return by_address
            await asyncio.sleep(0.3)


async def check_failure(world: World, told: list[Any], name: str, seen: Seen, status: str) -> None:
    """Check what is shown and told of a renewal that was declined just now.

    Args:
        world: Where it was.
        told: The customer's mails, oldest first; the last one is about it.
        name: How the decline was worded.
        seen: The subscription and the payment retry of the invoice.
        status: What the retry is to be.
    """
    subscription, retry = seen
    assert (retry.retry_status, retry.parked_data) == (status, []), name
    assert (retry.next_attempt_at is not None) is (status == SOFT), name
    assert subscription.parked_data == [], name
    assert told[-1]["subject"] == SUBJECTS[status], name
    assert "again on" in told[-1]["text"] or status != SOFT
    explained = await explain_row(world.sessions, subscription, is_for_admin=False)
    assert explained.access == "grace"
    reasons = " ".join(explained.because)
    assert str(retry.decline_code).replace("_", " ") in reasons, (name, reasons)
    assert explained.next, name


def sample(every: dict[str, tuple[object, str]]) -> dict[str, tuple[object, str]]:
    """Return a few of each class: the time-skipping server does not bear many customers at once."""
    kept: dict[str, tuple[object, str]] = {}
    for status in SUBJECTS:
        names = [name for name, (_, expected) in every.items() if expected == status]
        kept |= {name: every[name] for name in names[:: max(1, len(names) // 2)]}
    return kept


async def play(world: World, outside: Outside, expected: dict[str, tuple[object, str]]) -> None:
    """Fail everybody's renewal, and follow them to the end."""
    crowd = Crowd(world, {name: ("ok", told) for name, (told, _) in expected.items()})
    await crowd.sign_up()
    await crowd.subscribe(POLICY)
    await crowd.reaches("active", lambda _, now: now.subscription.subscription_status == "active")
    await crowd.pass_time(7 * DAY + 2 * HOUR)
    await crowd.pass_time(HOUR)

    failed = await crowd.reaches(
        "failed",
        lambda member, now: (
            bool(now.retries)
            and now.retry.retry_status == expected[member.name][1]
            and now.subscription.subscription_status == "past_due"
        ),
    )
    mails = await mails_of(outside, crowd.addresses, 1)
    for member in crowd.members:
        status = expected[member.name][1]
        told, standing = mails[member.email], failed[member.name]
        assert len(told) == 1, member.name
        seen = standing.subscription, standing.retry
        await check_failure(world, told, member.name, seen, status)

    await crowd.pass_time(DAY + HOUR)
    await crowd.reaches(
        "the last resort of soft declines",
        lambda member, now: (
            (now.subscription.subscription_status == "canceled")
            is (expected[member.name][1] == SOFT)
        ),
    )
    await crowd.pass_time(3 * DAY)
    ended = await crowd.reaches(
        "the end", lambda _, now: now.subscription.subscription_status == "canceled"
    )
    charges = await crowd.charges()
    mails = await mails_of(outside, crowd.addresses, 3)
    for member in crowd.members:
        retry = ended[member.name].retry
        is_soft = expected[member.name][1] == SOFT
        assert (retry.retry_status, retry.attempt_count) == ("exhausted", int(is_soft))
        outcomes = [outcome for outcome, _ in charges[member.name]]
        assert outcomes == ["succeeded", "failed", *["failed"] * is_soft], member.name
        assert ended[member.name].subscription.parked_data == []
        last = {mail["subject"]: mail["text"] for mail in mails[member.email][-2:]}
        assert set(last) == LAST_SUBJECTS, member.name
        assert "http" not in "".join(last.values()), "no link to pay what has ended"


async def test_each_decline_code_on_a_renewal(
    world: World, outside: Outside, measure: Callable[[str], None]
) -> None:
    """A few customers whose renewals are declined day by day, each in another way."""
    began = time.monotonic()
    shares = [list(DECLINES)[start::CUSTOMER_COUNT] for start in range(CUSTOMER_COUNT)]
    days = max(len(share) for share in shares)
    policy = RetryPolicy(schedules={"default": (2 * days * DAY,)}, grace=4 * days * DAY)
    customers = [
        await world.subscribe("ok", *share, policy=policy, interval="day") for share in shares
    ]
    addresses = [f"{customer.user_id.hex}@example.com" for customer in customers]
    await world.step(2 * HOUR)
    for day in range(days):
        await world.step(DAY)
        due = [address for address, share in zip(addresses, shares, strict=True) if share[day:]]
        mails = await mails_of(outside, due, day + 1)
        for customer, share, address in zip(customers, shares, addresses, strict=True):
            for code in share[day : day + 1]:
                newest, *older = await customer.retries()
                assert {retry.retry_status for retry in older} <= {"paused"}, code
                seen = await customer.row(), newest
                status = status_after(code, DECLINES[code].advice_code)
                await check_failure(world, mails[address], code, seen, status)
    measure(f"declined renewals: {len(DECLINES)} codes in {time.monotonic() - began:.1f} s")


async def test_a_few_of_each_class_to_the_end(world: World, outside: Outside) -> None:
    await play(world, outside, sample(scripts()))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
async def test_each_way_to_word_each_decline_code(
    world: World, outside: Outside, part: int
) -> None:
    every = scripts()
    await play(world, outside, {name: every[name] for name in list(every)[part::PARTS]})


async def test_each_decline_code_on_a_one_off_payment(world: World) -> None:
    for code, decline in DECLINES.items():
        if code == "authentication_required":
            continue  # on session it is a challenge
        payer = await start_paying(world, code)
        row = await payer.reaches(PaymentStatus.FAILED)
        assert row.decline_code == (code if decline.has_decline_code else decline.code)
        assert (row.next_action_url, row.parked_data) == (None, [])
        assert await payer.ledger("charge") == [("failed", 2_500)]
        await payer.ends()


async def test_a_failed_authentication_fails_a_one_off_payment(world: World) -> None:
    payer = await start_paying(world, "authentication_required")
    waiting = await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    path = f"/_sandbox/3ds/{waiting.stripe_payment_intent_id}"
    (await world.http.post(path, json={"outcome": "failed"})).raise_for_status()
    await payer.handle.signal(PAYMENT_HINT, ["evt_1"])
    row = await payer.reaches(PaymentStatus.FAILED)
    assert row.decline_code == "payment_intent_authentication_failure"
    assert row.next_action_url is None
    await payer.ends()
