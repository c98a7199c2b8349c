"""Changes of plan, quantity and discount: what is previewed is billed; unpaid, nothing changes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from adapters.tls import trusted
from config import Settings
from tests.api.conftest import MakeCard, Person, make_plan, problem, until
from tests.support.world import STRIPE_HEADERS

pytestmark = pytest.mark.usefixtures("workers")


class Shop:
    """The Stripe sandbox, as somebody with its Dashboard sees it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **params: Any) -> Any:
        reply = await self._http.get(f"/v1/{path}", params=params)
        return reply.raise_for_status().json()

    async def post(self, path: str, **form: Any) -> Any:
        reply = await self._http.post(f"/v1/{path}", data=form)
        return reply.raise_for_status().json()

    async def charges(self, subscription: str) -> list[tuple[str, int]]:
        rows = (await self._http.get("/_sandbox/ledger")).json()["items"]
        return [(r["outcome"], r["amount"]) for r in rows if r["subscription"] == subscription]


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    base = settings.stripe.api_base or ""
    async with httpx.AsyncClient(
        base_url=base, headers=STRIPE_HEADERS, verify=trusted(), timeout=100
    ) as http:
        yield Shop(http)


async def subscribe(
    person: Person, plan: dict[str, Any], card: str, **extra: Any
) -> dict[str, Any]:
    added = await person.post("payment-methods", stripe_payment_method_id=card, is_default=True)
    assert added.status_code == 201, added.text
    reply = await person.post("subscriptions", plan_id=plan["plan_id"], **extra)
    assert reply.status_code == 202, reply.text
    return await reach(person, reply.json(), "active", "trialing")


async def reach(person: Person, made: dict[str, Any], *statuses: str) -> dict[str, Any]:
    async def read() -> Any:
        seen = await person.get(f"subscriptions/{made['subscription_id']}")
        return seen if seen["subscription_status"] in statuses else None

    seen: dict[str, Any] = await until(read)
    return seen


async def act(person: Person, made: dict[str, Any], action: str, **body: Any) -> dict[str, Any]:
    reply = await person.post(f"subscriptions/{made['subscription_id']}/{action}", **body)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


async def test_what_is_previewed_is_billed(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    dear = await make_plan(admin, amount_cents=10_000)
    made = await subscribe(user, plan, await card("ok"))
    wanted = {"plan_id": dear["plan_id"], "quantity": 3}
    seen = await act(user, made, "preview-change", **wanted)
    assert seen["currency_code"] == "usd"
    assert seen["next_amount_cents"] == 30_000
    assert seen["next_invoice_at"] == made["current_period_end"]
    assert seen["amount_due_now_cents"] == sum(line["amount_cents"] for line in seen["lines"])
    assert [line["is_proration"] for line in seen["lines"]] == [True, True]
    assert await act(user, made, "preview-change", **wanted | {"when": "at_period_end"})
    still = await user.get(f"subscriptions/{made['subscription_id']}")
    assert (still["plan_id"], still["quantity"]) == (plan["plan_id"], 1)

    changed = await act(user, made, "change-plan", **wanted, proration_date=seen["proration_date"])
    assert (changed["plan_id"], changed["quantity"]) == (dear["plan_id"], 3)
    assert changed["stripe_price_id"] == dear["stripe_price_id"]
    assert changed["subscription_status"] == "active"
    stripe_id = made["stripe_subscription_id"]
    assert await shop.charges(stripe_id) == [
        ("succeeded", 2_900),
        ("succeeded", seen["amount_due_now_cents"]),
    ]
    events = (await user.get(f"subscriptions/{made['subscription_id']}/events"))["items"]
    assert "change_plan" in {event["kind"] for event in events}


async def test_a_declined_change_changes_nothing_and_is_not_tried_again(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    dear = await make_plan(admin, amount_cents=10_000)
    made = await subscribe(user, plan, await card("ok", "insufficient_funds", "ok"))
    path = f"subscriptions/{made['subscription_id']}"
    body: dict[str, Any] = {"plan_id": dear["plan_id"]}
    refused = problem(
        await user.post(f"{path}/change-plan", key="k1", **body), 402, "payment_failed"
    )
    assert refused["details"]["decline_code"] == "insufficient_funds"
    invoice = await shop.get(f"invoices/{refused['details']['stripe_invoice_id']}")
    assert invoice["status"] == "void"
    still = await user.get(path)
    assert (still["plan_id"], still["subscription_status"]) == (plan["plan_id"], "active")
    assert (still["access"], still["stripe_price_id"]) == ("full", plan["stripe_price_id"])
    again = problem(await user.post(f"{path}/change-plan", key="k1", **body), 402, "payment_failed")
    assert again == refused
    assert (await user.get("payment-retries", subscription_id=made["subscription_id"]))[
        "items"
    ] == []
    stripe_id = made["stripe_subscription_id"]
    outcomes = [outcome for outcome, _ in await shop.charges(stripe_id)]
    assert outcomes == ["succeeded", "failed"]
    assert (await shop.get(f"subscriptions/{stripe_id}"))["pending_update"] is None
    changed = await act(user, made, "change-plan", **body)
    assert changed["plan_id"] == dear["plan_id"]


async def test_a_challenged_change_changes_nothing(
    user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    made = await subscribe(user, plan, await card("ok", "authentication_required"))
    path = f"subscriptions/{made['subscription_id']}"
    refused = problem(await user.post(f"{path}/change-plan", quantity=2), 402, "payment_failed")
    assert refused["details"]["decline_code"] == "authentication_required"
    assert (await user.get(path))["quantity"] == 1


async def test_seats_are_added_and_taken_away(
    user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    made = await subscribe(user, plan, await card("ok"))
    assert (await act(user, made, "change-plan", quantity=5))["quantity"] == 5
    seen = await act(user, made, "preview-change", quantity=2)
    assert seen["amount_due_now_cents"] == 0
    assert seen["next_amount_cents"] < 2 * 2_900, "the unused time of three seats is a credit"
    assert (await act(user, made, "change-plan", quantity=2))["quantity"] == 2
    assert len(await shop.charges(made["stripe_subscription_id"])) == 2


async def test_a_change_waits_for_the_end_of_the_period(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    small = await make_plan(admin, amount_cents=500)
    made = await subscribe(user, plan, await card("ok"))
    later = {"plan_id": small["plan_id"], "when": "at_period_end"}
    seen = await act(user, made, "preview-change", **later)
    assert (seen["amount_due_now_cents"], seen["next_amount_cents"]) == (0, 500)
    waiting = await act(user, made, "change-plan", **later)
    assert (waiting["plan_id"], waiting["quantity"]) == (plan["plan_id"], 1)
    change = waiting["scheduled_change"]
    assert change == {
        "plan_id": small["plan_id"],
        "stripe_price_id": small["stripe_price_id"],
        "quantity": 1,
        "at": made["current_period_end"],
    }
    path = f"subscriptions/{made['subscription_id']}"
    told = await user.get(f"{path}/explain")
    assert told["next"][-1] == {
        "what": f"The plan changes to {small['name']}.",
        "at": change["at"],
    }
    assert "cancel-scheduled-change" in told["can_do"]
    replaced = await act(user, made, "change-plan", quantity=4, when="at_period_end")
    told = await user.get(f"{path}/explain")
    assert told["next"][-1]["what"] == "The quantity changes to 4."
    assert replaced["scheduled_change"]["plan_id"] == plan["plan_id"]
    assert replaced["scheduled_change"]["quantity"] == 4
    stripe_id = made["stripe_subscription_id"]
    schedule = (await shop.get(f"subscriptions/{stripe_id}"))["schedule"]
    assert schedule is not None
    dropped = await act(user, made, "cancel-scheduled-change")
    assert dropped["scheduled_change"] is None
    assert (await shop.get(f"subscription_schedules/{schedule}"))["status"] == "released"
    told = await user.get(f"{path}/explain")
    assert not {"uncancel", "cancel-scheduled-change"} & set(told["can_do"])
    problem(await user.post(f"{path}/cancel-scheduled-change"), 409, "illegal_command")
    assert await shop.charges(stripe_id) == [("succeeded", 2_900)]


async def test_a_change_at_once_drops_the_one_that_waits(
    user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    made = await subscribe(user, plan, await card("ok"))
    await act(user, made, "change-plan", quantity=4, when="at_period_end")
    changed = await act(user, made, "change-plan", quantity=2)
    assert (changed["quantity"], changed["scheduled_change"]) == (2, None)
    assert (await shop.get(f"subscriptions/{made['stripe_subscription_id']}"))["schedule"] is None


async def test_a_schedule_that_we_did_not_make_is_left_alone(
    user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    made = await subscribe(user, plan, await card("ok"))
    stripe_id = made["stripe_subscription_id"]
    foreign = await shop.post("subscription_schedules", from_subscription=stripe_id)
    await shop.post(
        f"subscription_schedules/{foreign['id']}", **{"metadata[made_by]": "the Dashboard"}
    )
    path = f"subscriptions/{made['subscription_id']}"
    for action, body in (
        ("change-plan", {"quantity": 2}),
        ("change-plan", {"quantity": 2, "when": "at_period_end"}),
        ("remove-discount", {}),
        ("cancel-scheduled-change", {}),
    ):
        refused = problem(await user.post(f"{path}/{action}", **body), 409, "managed_at_stripe")
        assert refused["details"] == {"subscription_status": "active"}
    assert (await act(user, made, "cancel", mode="now"))["subscription_status"] == "canceled"


async def test_promotion_codes_are_for_all_and_coupons_for_administrators(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    made = await subscribe(user, plan, await card("ok"))
    path = f"subscriptions/{made['subscription_id']}"
    coupon = await shop.post("coupons", percent_off=25, duration="forever", name="Summer")
    code = await shop.post(
        "promotion_codes",
        **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]},
    )
    entered = await act(user, made, "discount", promotion_code=code["code"])
    assert entered["discount"] == {
        "coupon": coupon["id"],
        "name": "Summer",
        "promotion_code": code["code"],
        "percent_off": 25.0,
        "amount_off_cents": None,
        "currency_code": None,
        "duration": "forever",
        "ends_at": None,
    }
    seen = await act(user, made, "preview-change", quantity=4, when="at_period_end")
    assert seen["next_amount_cents"] == 4 * 2_900 * 3 // 4
    body = {"coupon": coupon["id"]}
    problem(await user.post(f"{path}/discount", **body), 403, "admin_required")
    gift = await shop.post("coupons", amount_off=100, currency="usd", duration="once")
    given = await act(admin, made, "discount", coupon=gift["id"])
    assert (given["discount"]["coupon"], given["discount"]["amount_off_cents"]) == (gift["id"], 100)
    assert (await act(user, made, "remove-discount"))["discount"] is None
    assert (await act(user, made, "remove-discount"))["discount"] is None
    problem(
        await user.post(f"{path}/discount", promotion_code="NOSUCH"),
        404,
        "promotion_code_not_found",
    )
    problem(await admin.post(f"{path}/discount", coupon="no-such"), 404, "coupon_not_found")
    foreign = await shop.post("coupons", amount_off=100, currency="eur", duration="once")
    problem(await admin.post(f"{path}/discount", coupon=foreign["id"]), 409, "discount_refused")


async def test_a_discount_and_a_card_outlive_the_change_that_waits(
    user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    made = await subscribe(user, plan, await card("ok"))
    await act(user, made, "change-plan", quantity=4, when="at_period_end")
    coupon = await shop.post("coupons", percent_off=50, duration="forever")
    code = await shop.post(
        "promotion_codes",
        **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]},
    )
    seen = await act(user, made, "discount", promotion_code=code["code"])
    assert seen["scheduled_change"]["quantity"] == 4
    schedule_id = (await shop.get(f"subscriptions/{made['stripe_subscription_id']}"))["schedule"]
    phases = (await shop.get(f"subscription_schedules/{schedule_id}"))["phases"]
    assert all(phase["discounts"] for phase in phases)


async def test_a_start_is_previewed(
    admin: Person, user: Person, plan: dict[str, Any], shop: Shop
) -> None:
    coupon = await shop.post("coupons", percent_off=10, duration="once")
    code = await shop.post(
        "promotion_codes",
        **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]},
    )
    body = {"plan_id": plan["plan_id"], "quantity": 2, "promotion_code": code["code"]}
    seen = (await user.post("subscriptions/preview", **body)).json()
    assert (seen["amount_due_now_cents"], seen["next_amount_cents"]) == (5_220, 5_800)
    assert seen["proration_date"] is None
    trial = await admin.post(
        "subscriptions/preview", plan_id=plan["plan_id"], trial_days=10, coupon=coupon["id"]
    )
    assert (trial.json()["amount_due_now_cents"], trial.json()["next_amount_cents"]) == (0, 2_610)
    wanted = {"plan_id": plan["plan_id"], "coupon": coupon["id"]}
    problem(await user.post("subscriptions/preview", **wanted), 403, "admin_required")
    wanted = {"plan_id": plan["plan_id"], "promotion_code": "NOSUCH"}
    problem(await user.post("subscriptions/preview", **wanted), 404, "promotion_code_not_found")


async def test_a_subscription_starts_with_a_discount(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard, shop: Shop
) -> None:
    coupon = await shop.post("coupons", percent_off=25, duration="forever")
    code = await shop.post(
        "promotion_codes",
        **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]},
    )
    foreign = await shop.post("coupons", amount_off=100, currency="eur", duration="once")
    wanted = {"plan_id": plan["plan_id"], "quantity": 2}
    for person, discount, status, refusal in (
        (user, {"coupon": coupon["id"]}, 403, "admin_required"),
        (user, {"promotion_code": "NOSUCH"}, 404, "promotion_code_not_found"),
        (admin, {"coupon": "no-such"}, 404, "coupon_not_found"),
        (admin, {"coupon": foreign["id"]}, 409, "discount_refused"),
        (user, {"coupon": "x", "promotion_code": "y"}, 422, "invalid_input"),
    ):
        problem(await person.post("subscriptions", **wanted, **discount), status, refusal)
    wanted = {"quantity": 2, "promotion_code": code["code"]}
    path = "subscriptions"
    preview = (await user.post(f"{path}/preview", plan_id=plan["plan_id"], **wanted)).json()
    seen = await subscribe(user, plan, await card("ok"), **wanted)
    assert seen["discount"]["coupon"] == coupon["id"]
    assert seen["discount"]["promotion_code"] == code["code"]
    (invoice,) = (await user.get(f"{path}/{seen['subscription_id']}/invoices"))["items"]
    assert invoice["amount_paid_cents"] == preview["amount_due_now_cents"] == 4_350


async def test_an_administrator_starts_a_trial_with_a_coupon(
    admin: Person, user: Person, plan: dict[str, Any], shop: Shop
) -> None:
    coupon = await shop.post("coupons", percent_off=25, duration="forever")
    reply = await admin.post(
        "subscriptions",
        plan_id=plan["plan_id"],
        user_id=str(user.user_id),
        coupon=coupon["id"],
        trial_days=7,
    )
    assert reply.status_code == 202, reply.text
    seen = await reach(user, reply.json(), "trialing")
    assert seen["discount"]["coupon"] == coupon["id"]


async def test_what_cannot_be_sold_cannot_be_changed_to(
    admin: Person, user: Person, plan: dict[str, Any], card: MakeCard
) -> None:
    euro = await make_plan(admin, currency_code="eur")
    second = await make_plan(admin)
    price = {"unit_amount_decimal": "0.5", "unit_count": 1000}
    metered = await make_plan(admin, overage={"token_count": price})
    made = await subscribe(user, plan, await card("ok"))
    path = f"subscriptions/{made['subscription_id']}"
    for action in ("preview-change", "change-plan"):
        url = f"{path}/{action}"
        problem(await user.post(url), 422, "invalid_input")
        problem(await user.post(url, plan_id=euro["plan_id"]), 409, "currency_mismatch")
        problem(await user.post(url, plan_id=metered["plan_id"]), 409, "overage_differs")
        problem(await user.post(url, quantity=1_000_000), 422, "invalid_input")
        late: dict[str, Any] = {"quantity": 2, "proration_date": "2001-01-01T00:00:00Z"}
        problem(await user.post(url, **late), 422, "invalid_input")
        when: dict[str, Any] = {
            "quantity": 2,
            "when": "at_period_end",
            "proration_date": "2030-01-01T00:00:00Z",
        }
        problem(await user.post(url, **when), 422, "invalid_input")
    reply = await user.post("subscriptions", plan_id=second["plan_id"])
    other = await reach(user, reply.json(), "active")
    refused = problem(
        await user.post(f"{path}/change-plan", plan_id=second["plan_id"]), 409, "already_subscribed"
    )
    assert refused["details"] == {"subscription_id": other["subscription_id"]}
    await act(user, made, "cancel", mode="now")
    for action in ("preview-change", "change-plan", "remove-discount", "cancel-scheduled-change"):
        body: dict[str, Any] = (
            {"quantity": 2} if "change" in action and "cancel" not in action else {}
        )
        problem(await user.post(f"{path}/{action}", **body), 409, "illegal_command")
