"""What can be charged: in which currencies, and how much."""

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.errors import InvalidInputError
from domain.payments.money import (
    AMOUNT_MAX,
    CURRENCY_CODES,
    CurrencyCode,
    check_step,
    floor_to_step,
)
from sandbox.stripe import amounts, currencies
from sandbox.stripe.errors import ApiError

CURRENCY = TypeAdapter(CurrencyCode)


def test_what_is_taken_is_what_is_described() -> None:
    described = CURRENCY.json_schema()
    assert described == {"type": "string", "enum": sorted(CURRENCY_CODES)}
    assert [CURRENCY.validate_python(code) for code in described["enum"]] == described["enum"]


@pytest.mark.parametrize("code", ["xxx", "xau", "dem", "USD", " usd", "usd\n", "", "dollars", 5])
def test_what_is_no_currency_is_refused_and_not_given_back(code: object) -> None:
    with pytest.raises(ValidationError) as caught:
        CURRENCY.validate_python(code)
    (error,) = caught.value.errors()
    assert repr(code) not in error["msg"]


def test_the_stand_in_charges_in_the_same_currencies_and_as_much() -> None:
    assert set(CURRENCY_CODES) == amounts._CURRENCIES
    amounts.check(AMOUNT_MAX, "usd")
    with pytest.raises(ApiError):
        amounts.check(AMOUNT_MAX + 1, "usd")


@pytest.mark.parametrize("code", CURRENCY_CODES)
def test_the_stand_in_charges_in_the_same_steps(code: str) -> None:
    step = currencies.step(code)
    check_step(100 * step, code)
    if step > 1:
        with pytest.raises(InvalidInputError, match=f"multiple of {step}"):
            check_step(100 * step + 1, code)
    else:
        check_step(101, code)


@pytest.mark.parametrize(
    ("code", "expected"), [("usd", 1_239), ("jpy", 1_239), ("kwd", 1_230), ("isk", 1_200)]
)
def test_an_amount_is_lowered_to_what_stripe_moves(code: str, expected: int) -> None:
    assert floor_to_step(1_239, code) == expected
    check_step(floor_to_step(1_239, code), code)
