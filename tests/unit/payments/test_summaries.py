"""What people read in the Web UI: amounts stand in their currency, and things have names."""

import ast
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.starters.subscriptions import _summary_of
from database.plans.models import Plan
from domain.payments.messages import PaymentState
from domain.payments.money import amount_text
from domain.payments.rules import PaymentStatus
from workflows.payments.steps import _render
from workflows.search_attributes import NAMES

ROOT = Path(__file__).parents[3]
USER_ID = uuid4()
TEXTS = {"summary", "static_summary", "static_details", "timeout_summary"}
FOLDERS = ("api", "workflows", "services", "adapters", "domain")


@pytest.mark.parametrize(
    ("amount_cents", "currency_code", "text"),
    [
        (2_900, "usd", "29.00 USD"),
        (5, "eur", "0.05 EUR"),
        (2_900, "jpy", "2900 JPY"),
        (2_900, "kwd", "2.900 KWD"),
        (0, "usd", "0.00 USD"),
        (99_999_999, "usd", "999999.99 USD"),
    ],
)
def test_an_amount_stands_in_its_currency(amount_cents: int, currency_code: str, text: str) -> None:
    assert amount_text(amount_cents, currency_code) == text


@pytest.mark.parametrize(("count", "period"), [(1, "month"), (3, "3 months")])
def test_a_subscription_is_told_by_its_plan_amount_and_user(count: int, period: str) -> None:
    plan = Plan(
        name="Pro",
        code="pro",
        amount_cents=2_900,
        currency_code="usd",
        interval="month",
        interval_count=count,
    )
    assert _summary_of(plan, USER_ID) == f"Pro (pro), 29.00 USD every {period}, user {USER_ID}"
    plan.name, plan.code = "\N{GRINNING FACE}" * 500, "c" * 64
    assert len(_summary_of(plan, USER_ID).encode()) <= 400


def test_a_payment_is_told_by_its_status_amounts_and_user() -> None:
    state = PaymentState(
        payment_id=UUID(int=1),
        user_id=USER_ID,
        payment_status=PaymentStatus.PARTIALLY_REFUNDED,
        amount_cents=2_900,
        refunded_cents=900,
        currency_code="usd",
    )
    assert _render(state, None) == (
        f"**partially_refunded**: 29.00 USD of user `{USER_ID}`, 9.00 USD of it refunded."
    )


def shown_texts() -> Iterator[tuple[str, ast.expr]]:
    """Yield each expression that the Web UI shows, with its place."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield from ((place, each.value) for each in node.keywords if each.arg in TEXTS)
                if ast.unparse(node.func).endswith("set_current_details"):
                    yield place, node.args[0]


def raw_amounts(text: ast.expr) -> list[str]:
    """Return the amounts in minor units that are put into a text as they are."""
    called = [
        node
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "amount_text"
        for node in ast.walk(call)
    ]
    return [
        ast.unparse(node)
        for node in ast.walk(text)
        if isinstance(node, ast.Attribute) and node.attr.endswith("_cents") and node not in called
    ]


def test_no_text_of_the_web_ui_has_an_amount_in_minor_units() -> None:
    texts = list(shown_texts())
    assert len(texts) > 30
    assert {place: found for place, text in texts if (found := raw_amounts(text))} == {}
    planted = ast.parse("f'pay {row.amount_cents}, {amount_text(row.refunded_cents, code)}'")
    assert raw_amounts(planted.body[0].value) == ["row.amount_cents"]  # type: ignore[attr-defined]


def test_no_search_attribute_hides_the_status_of_an_execution() -> None:
    assert not {"Status", "ExecutionStatus"} & set(NAMES)
