"""Card numbers in text: found in whatever way they are written, and nothing else is."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.card_numbers import (
    ISSUERS,
    Issuer,
    has_card_number,
    is_card_number,
    mask_card_numbers,
)

# Numbers that the networks and Stripe publish for tests.
KNOWN = {
    "visa": "4242424242424242",
    "visa, 13 digits": "4222222222222",
    "mastercard": "5555555555554444",
    "mastercard, 2-series": "2223003122003222",
    "american_express": "378282246310005",
    "discover": "6011111111111117",
    "diners_club": "30569309025904",
    "jcb": "3530111333300000",
    "unionpay": "6200000000000005",
    "unionpay, 19 digits": "6205500000000000004",
}
# What only looks like one.
OTHERS = {
    "no check digit": "4242424242424241",
    "no issuer": "9999999999999995",
    "a wrong length": "42424242424242420",
    "a UUID": "a1b2c3d4-4929-4718-8123-4567ab012345",
    "a UUID of digits": "42424242-4242-4242-4242-424242424242",
    "a moment": "20261128133000123",
    "milliseconds": "1795872600000",
    "an ISO moment": "2026-11-28T13:30:00.123456+00:00",
    "a telephone": "+49 1512 3456789",
    "a telephone of a card's digits": "+4222222222222",
    "a fraction": "0.4242424242424242",
    "a decimal": "4242424242424242.5",
    "an IBAN": "DE89 3704 0044 0532 0130 00",
    "a hash": "9f86d0814242424242424242c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15",
    "an id of Stripe": "pi_3Q4242424242424242abc",
    "lines of numbers": "4242\n4242\n4242\n4242",
}
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "2223003122003222")
DIGITS = st.text("0123456789", min_size=19, max_size=19)
WORDS = st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=30)


def issued() -> st.SearchStrategy[str]:
    """Numbers as the networks give them out, of every range and length."""
    ranges = [issuer for issuers in ISSUERS.values() for issuer in issuers]
    return st.builds(number_of, st.sampled_from(ranges), st.integers(0), st.integers(0), DIGITS)


def number_of(issuer: Issuer, begin: int, length: int, rest: str) -> str:
    first = int(issuer.first) + begin % (int(issuer.last) - int(issuer.first) + 1)
    size = issuer.lengths[length % len(issuer.lengths)]
    body = (str(first) + rest)[: size - 1]
    return body + check_digit(body)


def check_digit(body: str) -> str:
    """Luhn's, by its definition: every second digit from the right is doubled."""
    total = 0
    for place, letter in enumerate(reversed(body)):
        digit = int(letter) * (2 if place % 2 == 0 else 1)
        total += digit // 10 + digit % 10
    return str(-total % 10)


@pytest.mark.parametrize("case", KNOWN)
def test_known_numbers_are_found(case: str) -> None:
    number = KNOWN[case]
    assert is_card_number(number)
    assert mask_card_numbers(f"no {number}.") == f"no {'*' * (len(number) - 4)}{number[-4:]}."


@pytest.mark.parametrize("case", OTHERS)
def test_what_only_looks_like_one_stays(case: str) -> None:
    text = f"see {OTHERS[case]} please"
    assert mask_card_numbers(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4242 4242 4242 4242 12/30 123", "**** **** **** 4242 12/30 123"),
        ("4242 4242 4242 4242 123", "**** **** **** 4242 123"),
        ("1 2 4242-4242-4242-4242 3", "1 2 ****-****-****-4242 3"),
        ("12 3782 822463 10005 9", "12 **** ****** *0005 9"),
        ("id 12345 4242424242424242", "id 12345 ************4242"),
        ("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "* * * * * * * * * * * * 4 2 4 2"),
        ("4242424242424242,4000056655665556", "************4242,************5556"),
        ("4242424242424242 4000056655665556", "************4242 ************5556"),
        ("card4242424242424242", "card************4242"),
        ("pm_4242424242424242", "pm_************4242"),
        ("4242\u00a04242\u20114242\u20134242", "****\u00a0****\u2011****\u20134242"),
        (FULL_WIDTH, "*" * 12 + FULL_WIDTH[-4:]),
    ],
)
def test_numbers_are_masked_in_whatever_way_they_are_written(text: str, masked: str) -> None:
    assert mask_card_numbers(text) == masked


@given(issued(), WORDS, WORDS, st.sampled_from(["", " ", "-"]), st.integers(1, 6))
def test_every_number_of_every_issuer_is_found(
    number: str, before: str, after: str, gap: str, size: int
) -> None:
    assume(before[-1:] not in {"+", "."})
    parts = [number[place : place + size] for place in range(0, len(number), size)]
    written = gap.join(parts)
    text = before + written + after
    found = mask_card_numbers(text)
    assert len(found) == len(text)
    assert number[:-4] not in found.replace(gap, "") if gap else number not in found
    assert has_card_number(text)
    assert mask_card_numbers(found) == found


@given(issued(), st.integers(1, 9))
def test_a_number_with_a_wrong_check_digit_stays(number: str, change: int) -> None:
    wrong = number[:-1] + str((int(number[-1]) + change) % 10)
    assert mask_card_numbers(f"order {wrong}") == f"order {wrong}"


MOMENTS = st.integers(0, 6 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(st.uuids(), st.floats(0, 1), MOMENTS)
def test_ids_numbers_and_moments_stay(some: uuid.UUID, number: float, at: datetime) -> None:
    for text in (str(some), some.hex, repr(number), at.isoformat(), f"{at:%Y%m%d%H%M%S%f}"):
        assert mask_card_numbers(text) == text
