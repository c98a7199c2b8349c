"""Disputes, and refunds that come back: a payment and its subscription say what became of them."""

from typing import Any

import httpx
import pytest

from config import Settings
from tests.api.conftest import MakeCard, Person, problem, until
from tests.api.payments.conftest import Stripe, paid, pay, see
from tests.api.support import send_event

pytestmark = pytest.mark.usefixtures("workers")
PRICE = 2_900


class Bank:
    """The bank that disputes payments; its events arrive as Stripe's webhooks."""

    def __init__(self, stripe: Stripe, http: httpx.AsyncClient, settings: Settings) -> None:
        self._stripe, self._http, self._settings = stripe, http, settings

    async def dispute(self, payment: dict[str, Any]) -> str:
        """Dispute a payment, and return Stripe's id of the dispute."""
        intent = await self._stripe.read(f"payment_intents/{payment['stripe_payment_intent_id']}")
        opened = await self._stripe.control(
            "disputes", charge=intent["latest_charge"], outcome="lost"
        )
        dispute_id: str = opened["id"]
        await self.tell("charge.dispute.created", dispute_id)
        return dispute_id

    async def decide(self, dispute_id: str, evidence: str) -> None:
        """Decide a dispute, by one of the words of Stripe's test mode."""
        form = {"evidence[uncategorized_text]": evidence, "submit": "true"}
        await self._stripe.call(f"disputes/{dispute_id}", **form)
        await self.tell("charge.dispute.closed", dispute_id)

    async def tell(self, event_type: str, object_id: str) -> None:
        event = await self._stripe.event(event_type, object_id)
        assert (await send_event(self._http, self._settings, event)).status_code == 200


@pytest.fixture
def bank(stripe: Stripe, stranger: httpx.AsyncClient, settings: Settings) -> Bank:
    return Bank(stripe, stranger, settings)


async def subscribed(user: Person, plan: dict[str, Any], card: str) -> dict[str, Any]:
    """Subscribe with a card; return the payment of the first invoice."""
    await user.post("payment-methods", stripe_payment_method_id=card, is_default=True)
    await user.post("subscriptions", plan_id=plan["plan_id"])

    async def read() -> Any:
        return (await user.get("payments"))["items"]

    payment: dict[str, Any]
    (payment,) = await until(read)
    return payment


async def reasons(user: Person) -> list[str]:
    (row,) = (await user.get("subscriptions"))["items"]
    told: list[str] = (await user.get(f"subscriptions/{row['subscription_id']}/explain"))["because"]
    return told


async def test_a_disputed_payment_is_disputed_until_it_is_won(
    user: Person, admin: Person, card: MakeCard, bank: Bank
) -> None:
    payment = await paid(user, card)
    dispute_id = await bank.dispute(payment)
    await see(user, payment, "disputed")
    path = f"payments/{payment['payment_id']}/refund"
    refused = problem(await admin.post(path, reason="goodwill"), 409, "illegal_command")
    assert refused["details"] == {"payment_status": "disputed"}
    await bank.decide(dispute_id, "winning_evidence")
    await see(user, payment, "succeeded")
    reply = await admin.post(path, reason="goodwill")
    assert reply.json()["payment_status"] == "refunded", reply.text


async def test_a_lost_dispute_stays_so(user: Person, card: MakeCard, bank: Bank) -> None:
    payment = await paid(user, card)
    dispute_id = await bank.dispute(payment)
    await bank.decide(dispute_id, "losing_evidence")
    await see(user, payment, "disputed")


async def test_an_inquiry_takes_nothing_and_may_be_refunded(
    user: Person, admin: Person, bank: Bank, stripe: Stripe
) -> None:
    payment = await see(user, await pay(user, "pm_card_createDisputeInquiry"), "succeeded")
    found = await stripe.read(f"disputes?payment_intent={payment['stripe_payment_intent_id']}")
    (dispute,) = found["data"]
    assert dispute["status"] == "warning_needs_response"
    await bank.tell("charge.dispute.created", dispute["id"])
    path = f"payments/{payment['payment_id']}/refund"
    reply = await admin.post(path, reason="goodwill", amount_cents=500)
    assert reply.json()["payment_status"] == "partially_refunded", reply.text


async def test_a_dispute_of_an_invoices_payment_is_explained(
    user: Person, admin: Person, plan: dict[str, Any], card: MakeCard, bank: Bank
) -> None:
    payment = await subscribed(user, plan, await card("ok"))
    dispute_id = await bank.dispute(payment)
    await see(user, payment, "disputed")
    amount = f"{payment['amount_cents'] / 100:.2f} USD"
    sentence = f"The bank has taken back a payment of {amount}, because it is disputed."
    assert sentence in await reasons(user)
    timeline = await admin.get(f"users/{payment['user_id']}/timeline")
    assert any("disputed later" in each["summary"] for each in timeline["items"])
    await bank.decide(dispute_id, "winning_evidence")
    await see(user, payment, "succeeded")
    assert sentence not in await reasons(user)


async def test_a_refund_that_comes_back_is_explained_until_it_is_made_again(
    user: Person, admin: Person, plan: dict[str, Any], bank: Bank, stripe: Stripe
) -> None:
    payment = await subscribed(user, plan, "pm_card_refundFail")
    path = f"payments/{payment['payment_id']}/refund"
    made = await admin.post(path, reason="goodwill", amount_cents=900)
    (refund,) = made.json()["refunds"]
    assert refund["refund_status"] == "succeeded"
    await stripe.control("clock/advance", seconds=61)
    await bank.tell("refund.failed", refund["stripe_refund_id"])
    seen = await see(user, payment, "succeeded")
    assert [each["refund_status"] for each in seen["refunds"]] == ["failed"]
    sentence = (
        "A refund of 9.00 USD did not arrive (expired or canceled card); "
        "it has to be paid back in another way."
    )
    assert sentence in await reasons(user)
    assert (await admin.post(path, reason="again", amount_cents=900)).status_code == 200
    assert sentence not in await reasons(user)
