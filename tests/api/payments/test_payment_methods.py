"""Cards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from adapters.stripe.client import open_client
from config import Settings
from tests.api.conftest import API, Person, problem

pytestmark = pytest.mark.usefixtures("workers")
MakeCard = Callable[..., Awaitable[str]]


async def test_a_card_is_attached_listed_and_detached(user: Person, card: MakeCard) -> None:
    name = await card("ok")
    made = await user.post("payment-methods", stripe_payment_method_id=name, is_default=True)
    assert made.status_code == 201, made.text
    seen = made.json()
    assert seen["stripe_payment_method_id"] == name
    assert len(seen["last4"]) == 4
    assert seen["is_default"] is True
    assert (await user.get("payment-methods"))["items"] == [seen]
    path = f"{API}/payment-methods/{seen['payment_method_id']}"
    assert (await user.http.delete(path)).status_code == 204
    problem(await user.http.delete(path), 404, "not_found")
    assert (await user.get("payment-methods"))["items"] == []


async def test_one_card_is_the_default(user: Person, card: MakeCard) -> None:
    made = []
    for _ in range(2):
        body: dict[str, Any] = {"stripe_payment_method_id": await card("ok"), "is_default": True}
        made.append((await user.post("payment-methods", **body)).json()["payment_method_id"])
    items = (await user.get("payment-methods"))["items"]
    assert [item["is_default"] for item in items] == [True, False]
    reply = await user.post(f"payment-methods/{made[0]}/default")
    assert reply.status_code == 200
    assert reply.json()["is_default"] is True
    items = (await user.get("payment-methods"))["items"]
    assert [item["is_default"] for item in items] == [False, True]


async def test_twins_attach_once(user: Person, card: MakeCard) -> None:
    body = {"stripe_payment_method_id": await card("ok")}
    calls = [user.post("payment-methods", key="k", **body) for _ in range(3)]
    replies = await asyncio.gather(*calls)
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["payment_method_id"] for reply in replies}) == 1


async def test_a_card_that_does_not_exist_is_refused(user: Person) -> None:
    reply = await user.post("payment-methods", stripe_payment_method_id="pm_nothing")
    problem(reply, 404, "stripe_resource_missing")


async def test_a_setup_intent_gives_its_secret_again(user: Person) -> None:
    first = await user.post("payment-methods/setup-intent", key="k")
    again = await user.post("payment-methods/setup-intent", key="k")
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert first.json()["client_secret"].startswith("seti_")
    assert first.json() == again.json()
    other = await user.post("payment-methods/setup-intent")
    assert other.json()["client_secret"] != first.json()["client_secret"]


async def test_others_do_not_see_it(user: Person, other: Person, card: MakeCard) -> None:
    body = {"stripe_payment_method_id": await card("ok")}
    made = (await user.post("payment-methods", **body)).json()
    path = f"payment-methods/{made['payment_method_id']}"
    assert (await other.get("payment-methods"))["items"] == []
    problem(await other.post(f"{path}/default"), 404, "not_found")
    problem(await other.http.delete(f"{API}/{path}"), 404, "not_found")


async def test_a_card_of_somebody_else_is_not_to_be_had(
    user: Person,
    other: Person,
    card: MakeCard,
) -> None:
    mine, theirs = await card("ok"), await card("ok")
    assert (await user.post("payment-methods", stripe_payment_method_id=mine)).status_code == 201
    made = (await other.post("payment-methods", stripe_payment_method_id=theirs)).json()
    taken = await user.post("payment-methods", stripe_payment_method_id=theirs)
    problem(taken, 404, "not_found")

    path = f"{API}/payment-methods/{made['payment_method_id']}"
    assert (await other.http.delete(path)).status_code == 204
    for person in (user, other):
        again = await person.post("payment-methods", stripe_payment_method_id=theirs)
        problem(again, 409, "payment_method_unusable")


async def test_a_card_that_was_detached_at_stripe_has_a_code(
    settings: Settings,
    user: Person,
    card: MakeCard,
) -> None:
    made = (await user.post("payment-methods", stripe_payment_method_id=await card("ok"))).json()
    key = settings.stripe.api_key.get_secret_value()
    async with open_client(key, settings.stripe.api_base) as client:
        await client.v1.payment_methods.detach_async(made["stripe_payment_method_id"])
    path = f"payment-methods/{made['payment_method_id']}"
    problem(await user.post(f"{path}/default"), 409, "payment_method_unusable")
    assert (await user.http.delete(f"{API}/{path}")).status_code == 204
    assert (await user.get("payment-methods"))["items"] == []


async def test_an_administrator_acts_for_a_user(
    admin: Person,
    user: Person,
    other: Person,
    card: MakeCard,
) -> None:
    body = {"stripe_payment_method_id": await card("ok"), "user_id": str(user.user_id)}
    problem(await other.post("payment-methods", **body), 404, "not_found")
    made = await admin.post("payment-methods", **body)
    assert made.json()["user_id"] == str(user.user_id)
    assert len((await user.get("payment-methods"))["items"]) == 1
    nobody = body | {"user_id": str(uuid4())}
    problem(await admin.post("payment-methods", **nobody), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"stripe_payment_method_id": "echo me"}])
async def test_bad_input_is_refused(user: Person, body: dict[str, str]) -> None:
    reply = await user.post("payment-methods", **body)
    problem(reply, 422, "invalid_input")
    assert "echo" not in reply.text
