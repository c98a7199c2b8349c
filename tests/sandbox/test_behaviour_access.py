"""Accounts, headers, search, and what is shown to whom, each rule by its row in BEHAVIOUR.md."""

from typing import Any
from uuid import uuid4

import pytest
import stripe

from tests.sandbox.places import Place, World


def test_an_account_is_read_with_and_without_its_id(place: Place) -> None:
    own = place.api.accounts.retrieve_current()
    assert own.id.startswith("acct_")
    assert place.api.accounts.retrieve(own.id).id == own.id
    customer = place.api.customers.create({"name": "Eve"}, {"stripe_account": own.id})
    assert place.api.customers.retrieve(customer.id).name == "Eve"


def test_a_key_has_no_access_to_a_foreign_account(place: Place) -> None:
    with pytest.raises(stripe.PermissionError) as refusal:
        place.api.customers.list({}, {"stripe_account": "acct_1Foreign00000000"})
    assert refusal.value.error is not None
    assert (refusal.value.http_status, refusal.value.error.code) == (403, "account_invalid")


def test_an_answer_names_the_request_that_did_the_work(place: Place) -> None:
    options = {"idempotency_key": uuid4().hex}
    first = place.api.customers.create({"name": "Eve"}, options).last_response.headers
    again = place.api.customers.create({"name": "Eve"}, options).last_response.headers
    assert first["Idempotency-Key"] == again["Idempotency-Key"] == options["idempotency_key"]
    assert first["Original-Request"] == again["Original-Request"] == first["Request-Id"]
    assert again["Request-Id"] != first["Request-Id"]


def test_an_answer_says_that_it_need_not_be_asked_for_again(place: Place) -> None:
    made = place.api.customers.create({"name": "Eve"})
    assert made.last_response.headers["Stripe-Should-Retry"] == "false"


def test_a_price_is_a_plan_too(place: Place) -> None:
    world = World(place)
    price = world.price(700)
    plan = place.api.plans.retrieve(price)
    assert (plan.object, plan.amount, plan.interval) == ("plan", 700, "month")
    assert price in {entry.id for entry in place.api.plans.list({"product": plan.product}).data}
    world.end()


def test_what_is_left_out_comes_when_it_is_asked_for(world: World) -> None:
    lists = ["sources", "subscriptions", "tax_ids"]
    plain = world.api.customers.retrieve(world.customer).to_dict()
    assert plain.keys().isdisjoint([*lists, "tax"])
    full = world.api.customers.retrieve(world.customer, {"expand": [*lists, "tax"]})
    assert [full[name].data for name in lists] == [[], [], []]
    assert full.tax.automatic_tax == "unrecognized_location"
    price = world.api.prices.retrieve(world.price(700), {"expand": ["currency_options", "tiers"]})
    assert price.currency_options["usd"].unit_amount == 700


def test_what_is_not_marked_as_expandable_is_refused(world: World) -> None:
    for name in ("description", "email", "livemode", "mood"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            world.api.customers.retrieve(world.customer, {"expand": [name]})


def _found(place: Place, kind: str, query: str, count: int) -> set[str]:
    """Return what a search finds, once it finds as many: at Stripe that may take a minute."""

    def look() -> Any:
        found = getattr(place.api, kind).search({"query": query}).data
        return [one.id for one in found] if len(found) == count else None

    return set(place.until(query, look))


def test_objects_are_searched_by_field_and_metadata(place: Place) -> None:
    mark = uuid4().hex
    names = ("Ann Lee", "Bob Lee", "Ann Day")
    ann, bob, day = (
        place.api.customers.create({"name": name, "metadata": {"mark": mark}}).id for name in names
    )
    marked = f'metadata["mark"]:"{mark}"'
    assert _found(place, "customers", marked, 3) == {ann, bob, day}
    assert _found(place, "customers", f'name:"ann lee" AND {marked}', 1) == {ann}
    assert _found(place, "customers", f"name~'Lee' {marked}", 2) == {ann, bob}
    assert _found(place, "customers", f'-name:"Ann Lee" AND {marked}', 2) == {bob, day}


def test_numbers_are_compared_and_one_of_several_is_enough(place: Place) -> None:
    made = [
        place.api.payment_intents.create(
            {"amount": amount, "currency": "usd", "metadata": {"mark": uuid4().hex}}
        )
        for amount in (1_000, 2_000)
    ]
    marks = [f"metadata['mark']:'{intent.metadata['mark']}'" for intent in made]
    both = {intent.id for intent in made}
    assert _found(place, "payment_intents", " OR ".join(marks), 2) == both
    assert _found(place, "payment_intents", f"amount>1500 AND {marks[1]}", 1) == {made[1].id}
    assert _found(place, "payment_intents", f"{marks[0]} AND amount<=1000", 1) == {made[0].id}


def test_what_is_absent_is_found_by_null(place: Place) -> None:
    mark = uuid4().hex
    with_key = place.api.products.create({"name": mark, "metadata": {"kind": "lamp"}}).id
    without = place.api.products.create({"name": mark}).id
    query = f'name:"{mark}" AND -metadata["kind"]:null'
    assert _found(place, "products", query, 1) == {with_key}
    query = f'name:"{mark}" AND metadata["kind"]:null'
    assert _found(place, "products", query, 1) == {without}


def test_a_query_that_makes_no_sense_is_refused(place: Place) -> None:
    for query in (
        "name",
        'name="Eve',
        'mood:"gay"',
        'name:"Eve" AND email:"e@x.example" OR name:"Ann"',
        'email~"ev"',
        'created>"yesterday"',
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            place.api.customers.search({"query": query})
        assert refusal.value.http_status == 400


def test_a_cancellation_that_is_planned_cannot_be_asked_for_again(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    features: Any = {"subscription_cancel": {"enabled": True}}
    wanted: Any = {
        "customer": world.customer,
        "configuration": _portal(world, features),
        "flow_data": {
            "type": "subscription_cancel",
            "subscription_cancel": {"subscription": started.id},
        },
    }
    assert world.api.billing_portal.sessions.create(wanted).flow.type == "subscription_cancel"
    world.api.subscriptions.update(started.id, {"cancel_at_period_end": True})
    with pytest.raises(
        stripe.InvalidRequestError, match="already set to be canceled at period end"
    ):
        world.api.billing_portal.sessions.create(wanted)


def test_the_portal_does_only_what_its_configuration_allows(world: World) -> None:
    world.give_card()
    started = world.subscribe()
    configuration = _portal(world, {"invoice_history": {"enabled": True}})
    for kind, done in (("subscription_cancel", "canceled"), ("subscription_update", "updated")):
        flow: Any = {"type": kind, kind: {"subscription": started.id}}
        with pytest.raises(stripe.InvalidRequestError, match=f"cannot be {done}"):
            world.api.billing_portal.sessions.create(
                {
                    "customer": world.customer,
                    "configuration": configuration,
                    "flow_data": flow,
                }
            )


def _portal(world: World, features: Any) -> str:
    made = world.api.billing_portal.configurations.create({"features": features})
    return str(made.id)
