"""Objects of kinds that we do not sell are read and shown, and block nothing."""

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.payment_retries.snapshots import UnpaidInvoice
from domain.payments.snapshots import ChargeableSnapshot, CustomerSnapshot, IntentSnapshot
from domain.subscriptions.snapshots import SubscriptionSnapshot
from tests.adapters.stripe.scenes import Adapters, Answer, Replaying, Scene, open_shop, record_all

CHARGE = {"type": "charge", "charge": "ch_1"}
RECORD = {"type": "payment_record", "payment_record": "prec_1"}
UNKNOWN = {"type": "something_new"}


@pytest.fixture(scope="module")
async def scenes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Scene]]:
    async with open_shop(tmp_path_factory.mktemp("scenes")) as shop:
        await record_all(shop)
        yield {scene.name: scene for scene in shop.scenes}


async def play(scene: Scene, *changed: Answer) -> Any:
    """Make a scene's call again; the answers that are not changed come as they were recorded."""
    client = Replaying()
    client.answer_with(*changed, *scene.answers[len(changed) :])
    return await scene.call(Adapters(client))


def altered(scene: Scene, number: int = 0, **changes: Any) -> Answer:
    """Return an answer of a scene with other values at its top."""
    answer = scene.answers[number]
    return Answer(answer.method, answer.path, answer.status, {**answer.body, **changes})


async def read_with(scene: Scene, invoice: dict[str, Any]) -> SubscriptionSnapshot:
    """Read a subscription again whose first invoice looks otherwise."""
    listed = {**scene.answers[1].body, "data": [invoice]}
    seen: SubscriptionSnapshot = await play(scene, scene.answers[0], altered(scene, 1, **listed))
    return seen


@pytest.mark.parametrize("payment", [CHARGE, RECORD, UNKNOWN])
async def test_payments_without_an_intent(
    scenes: dict[str, Scene], payment: dict[str, Any]
) -> None:
    scene = scenes["declined: subscription"]
    invoice = copy.deepcopy(scene.answers[1].body["data"][0])
    assert invoice["payments"]["data"]
    invoice["payments"]["data"][0]["payment"] = payment
    seen = await read_with(scene, invoice)
    assert seen.invoices[0].payments == ()

    scene = scenes["declined: invoice"]
    payments = copy.deepcopy(scene.answers[0].body["payments"])
    intent = payments["data"][0]
    payments["data"] = [{**intent, "payment": payment}, intent]
    unpaid: UnpaidInvoice = await play(scene, altered(scene, payments=payments))
    assert unpaid.decline_code == "insufficient_funds"
    payments["data"] = payments["data"][:1]
    unpaid = await play(scene, altered(scene, payments=payments))
    assert (unpaid.stripe_payment_intent_id, unpaid.decline_code) == (None, None)


@pytest.mark.parametrize("kind", ["link", "us_bank_account", "sepa_debit", "something_new"])
async def test_other_payment_methods_can_be_charged_and_are_no_cards(
    scenes: dict[str, Scene], kind: str
) -> None:
    scene = scenes["chargeable"]
    body = {key: value for key, value in scene.answers[0].body.items() if key != "card"}
    other = {**body, "type": kind, kind: {}}
    answer = Answer("GET", scene.answers[0].path, 200, other)
    seen: ChargeableSnapshot = await play(scene, answer)
    assert (seen.fingerprint, seen.stripe_customer_id) == (other["id"], other["customer"])
    known = Answer("GET", scene.answers[0].path, 200, {**other, kind: {"fingerprint": "f"}})
    assert (await play(scene, known)).fingerprint == "f"
    for name in ("attach", "attached"):
        changed = Answer(scenes[name].answers[0].method, scenes[name].answers[0].path, 200, other)
        with pytest.raises(InvalidInputError) as caught:
            await play(scenes[name], changed)
        assert caught.value.error_code == "unsupported_payment_method"


@pytest.mark.parametrize(
    "action",
    [
        {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
        {"type": "verify_with_microdeposits", "verify_with_microdeposits": {}},
        {"type": "something_new"},
        {"type": "redirect_to_url"},
        {},
        None,
    ],
)
async def test_other_actions(scenes: dict[str, Scene], action: dict[str, Any] | None) -> None:
    scene = scenes["read payment challenged"]
    seen: IntentSnapshot = await play(scene, altered(scene, next_action=action))
    assert (seen.intent_status, seen.next_action_url) == ("requires_action", None)


async def test_deleted_customers(scenes: dict[str, Scene]) -> None:
    scene = scenes["declined: invoice"]
    gone = {"id": "cus_1", "object": "customer", "deleted": True}
    unpaid: UnpaidInvoice = await play(scene, altered(scene, customer=gone))
    assert unpaid.customer_card_id is None
    shown: SubscriptionSnapshot = await play(
        scenes["status"], altered(scenes["status"], customer=gone)
    )
    assert shown.stripe_customer_id == "cus_1"
    read: CustomerSnapshot = await play(scenes["deleted customer"])
    assert read.is_deleted
    assert await play(scenes["deleted default card"]) is None


@pytest.mark.parametrize(
    ("name", "quantity"),
    [("metered", 1), ("several items", 2), ("metered and flat", 1), ("sent", 1)],
)
async def test_items_of_other_kinds(scenes: dict[str, Scene], name: str, quantity: int) -> None:
    seen: SubscriptionSnapshot = await play(scenes[name])
    assert seen.quantity == quantity
    assert seen.current_period_end is not None
    assert not any(invoice.is_owed for invoice in seen.invoices if name == "sent")


@pytest.mark.parametrize("items", [None, {}, {"object": "list", "data": []}])
async def test_no_items(scenes: dict[str, Scene], items: dict[str, Any] | None) -> None:
    scene = scenes["status"]
    seen: SubscriptionSnapshot = await play(scene, altered(scene, items=items))
    assert (seen.quantity, seen.stripe_price_id, seen.current_period_end) == (1, None, None)


async def test_the_period_is_that_of_the_subscription_s_line(scenes: dict[str, Scene]) -> None:
    """A one-off item comes first among the lines, with a period of one moment."""
    scene = scenes["declined: subscription"]
    invoice = scene.answers[1].body["data"][0]
    assert len(invoice["lines"]["data"]) > 1, "the one-off item is there"
    (line,) = [
        each
        for each in invoice["lines"]["data"]
        if each["parent"]["type"] == "subscription_item_details"
    ]
    for lines in (invoice["lines"]["data"], invoice["lines"]["data"][::-1]):
        changed = {**invoice, "lines": {**invoice["lines"], "data": lines}}
        seen = await read_with(scene, changed)
        period = seen.invoices[0].period_start, seen.invoices[0].period_end
        told = line["period"]["start"], line["period"]["end"]
        assert tuple(int(moment.timestamp()) for moment in period) == told


async def test_more_than_ten_lines(scenes: dict[str, Scene]) -> None:
    """Stripe embeds ten; the line that tells the period stands on a later page."""
    scene = scenes["declined: subscription"]
    invoice = scene.answers[1].body["data"][0]
    own: list[Any] = []
    one_off: list[Any] = []
    for each in invoice["lines"]["data"]:
        is_own = each["parent"]["type"] == "subscription_item_details"
        (own if is_own else one_off).append(each)
    embedded = {**invoice["lines"], "data": one_off * 10, "has_more": True}
    listed = Answer(
        "GET",
        scene.answers[1].path,
        200,
        {**scene.answers[1].body, "data": [{**invoice, "lines": embedded}]},
    )
    path = f"/v1/invoices/{invoice['id']}/lines"
    page = {"object": "list", "data": [*one_off * 10, *own], "has_more": False, "url": path}
    seen: SubscriptionSnapshot = await play(
        scene, scene.answers[0], listed, Answer("GET", path, 200, page)
    )
    start = int(seen.invoices[0].period_start.timestamp())
    assert start == own[0]["period"]["start"]


async def test_a_sent_invoice_is_told_from_one_that_may_be_charged(
    scenes: dict[str, Scene],
) -> None:
    sent: UnpaidInvoice = await play(scenes["sent: invoice"])
    assert not sent.is_charged_automatically
    unpaid: UnpaidInvoice = await play(scenes["declined: invoice"])
    assert unpaid.is_charged_automatically
    owed: list[str] = await play(scenes["owed"])
    assert sent.stripe_invoice_id not in owed
