"""Changes that Stripe makes later, or that somebody makes at Stripe, and what they cost."""

from datetime import datetime, timedelta
from uuid import UUID

from database.plans.models import Plan
from domain.stripe_operations import CreatePlan
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.previews import ChangeTerms
from tests.support.world import Customer, World, make_plan_request
from tests.workflows.payment_retries.test_owed_invoices import at_stripe

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def price_of(world: World, plan_id: UUID) -> str:
    """Return the price of a plan."""
    async with world.sessions() as session:
        return (await session.get_one(Plan, plan_id)).stripe_price_id


async def renew(customer: Customer) -> None:
    """Go on until the next period is paid."""
    world, row = customer.world, await customer.row()
    end = row.current_period_end
    assert end is not None
    while (await customer.row()).current_period_end == end:
        await world.step(DAY)
    await world.step(2 * HOUR)


async def test_a_change_that_waits_is_made_with_the_renewal(world: World) -> None:
    customer = await world.subscribe("ok", interval="week")
    row = await customer.row()
    other = await world.operate(
        CreatePlan, plan=make_plan_request("default", amount_cents=700, interval="week")
    )
    price = await price_of(world, other.resource_id)
    terms = ChangeTerms(plan_id=other.resource_id, stripe_price_id=price, quantity=3)
    await customer.command(CommandKind.SCHEDULE_CHANGE, terms=terms)
    waiting = (await customer.row()).scheduled_change_data
    assert waiting is not None
    assert datetime.fromisoformat(waiting["at"]) == row.current_period_end
    coupon = (await at_stripe(world, "POST", "coupons", percent_off="50", duration="forever"))["id"]
    await customer.command(CommandKind.APPLY_DISCOUNT, coupon=coupon)
    # Reason: the last word at Stripe is the card's, which the schedule must learn of by itself.
    card = await customer.add_card("ok")
    await customer.command(CommandKind.CHANGE_PAYMENT_METHOD, card)

    await renew(customer)

    row = await customer.row()
    assert (row.plan_id, row.quantity, row.stripe_price_id) == (other.resource_id, 3, price)
    told = {each.kind: each.event_data for each in await customer.events()}
    assert told["schedule_change"] == {"plan_id": str(other.resource_id), "quantity": 3}
    assert told["apply_discount"] == {"coupon": coupon}
    assert told["terms_changed"]["to"]["quantity"] == 3
    assert row.scheduled_change_data is None
    assert row.discount_data is not None
    charges = await customer.charges()
    assert [(c["outcome"], c["amount"]) for c in charges] == [
        ("succeeded", 2_900),
        ("succeeded", 1_050),
    ]
    subscription = await at_stripe(world, "GET", f"subscriptions/{row.stripe_subscription_id}")
    assert subscription["default_payment_method"] == card
    await renew(customer)
    assert (await customer.charges())[-1]["amount"] == 1_050
    await customer.leave()


async def test_what_is_changed_at_stripe_is_followed(world: World) -> None:
    customer = await world.subscribe("ok")
    row = await customer.row()
    other = await world.operate(CreatePlan, plan=make_plan_request("default", amount_cents=9_000))
    stripe_id = row.stripe_subscription_id
    subscription = await at_stripe(world, "GET", f"subscriptions/{stripe_id}")
    coupon = (await at_stripe(world, "POST", "coupons", percent_off="50", duration="forever"))["id"]
    price = await price_of(world, other.resource_id)
    await at_stripe(
        world,
        "POST",
        f"subscriptions/{stripe_id}",
        **{
            "items[0][id]": subscription["items"]["data"][0]["id"],
            "items[0][price]": price,
            "items[0][quantity]": 7,
            "discounts[0][coupon]": coupon,
        },
    )
    await world.settle()
    row = await customer.row()
    assert (row.plan_id, row.quantity, row.stripe_price_id) == (other.resource_id, 7, price)
    assert row.discount_data is not None
    assert row.discount_data["coupon"] == coupon
    assert row.parked_data == []
    (changed,) = [each for each in await customer.events() if each.kind == "terms_changed"]
    assert changed.event_data["from"]["quantity"] == 1
    assert changed.event_data["to"] == {
        "plan_id": str(other.resource_id),
        "stripe_price_id": price,
        "quantity": 7,
    }
    await customer.leave()


async def test_an_unpaid_change_of_the_portal_is_neither_owed_nor_retried(world: World) -> None:
    customer = await world.subscribe("ok", "insufficient_funds", "ok")
    row = await customer.row()
    subscription = await at_stripe(world, "GET", f"subscriptions/{row.stripe_subscription_id}")
    held = await at_stripe(
        world,
        "POST",
        f"subscriptions/{row.stripe_subscription_id}",
        **{
            "items[0][id]": subscription["items"]["data"][0]["id"],
            "items[0][quantity]": 5,
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    assert held["pending_update"] is not None
    await world.settle()
    row = await customer.row()
    assert (row.quantity, row.subscription_status, row.is_owing) == (1, "active", False)
    assert await customer.retries() == []
    await world.step(DAY)
    invoice = await at_stripe(world, "GET", f"invoices/{held['latest_invoice']}")
    assert invoice["status"] == "void"
    assert await customer.retries() == []
    assert len(await customer.charges()) == 2
    await customer.leave()


async def test_a_cancel_drops_the_change_that_waits(world: World) -> None:
    customer = await world.subscribe("ok")
    await customer.command(CommandKind.SCHEDULE_CHANGE, terms=ChangeTerms(quantity=4))
    state = await customer.command(CommandKind.CANCEL_NOW)
    assert state.subscription_status == "canceled"
    await world.settle()
    row = await customer.row()
    assert (row.scheduled_change_data, row.parked_data) == (None, [])
    subscription = await at_stripe(world, "GET", f"subscriptions/{row.stripe_subscription_id}")
    assert subscription["status"] == "canceled"
    customer_id = row.stripe_customer_id
    schedules = await at_stripe(world, "GET", "subscription_schedules", customer=customer_id)
    assert [each["status"] for each in schedules["data"]] == ["released"]
