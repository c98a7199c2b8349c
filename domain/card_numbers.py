"""Finds card numbers (PANs) in text by issuer range, length and Luhn check digit. Pure.

Similar digits are left alone: UUIDs, hashes, timestamps, international phone numbers, decimal
fractions, and numbers that no card network issues.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Issuer(NamedTuple):
    """A range of numbers that a card network issues.

    Args:
        first: Lowest prefix of the range.
        last: Highest prefix of the range; has as many digits as `first`.
        lengths: Allowed lengths of a number, in digits.
    """

    first: str
    last: str
    lengths: range


# Taken from ISO/IEC 7812 and the ranges that the networks publish; the key is the network.
ISSUERS: dict[str, tuple[Issuer, ...]] = {
    "visa": (Issuer("4", "4", range(13, 20, 3)),),
    "mastercard": (
        Issuer("51", "55", range(16, 17)),
        Issuer("2221", "2720", range(16, 17)),
    ),
    "american_express": (
        Issuer("34", "34", range(15, 16)),
        Issuer("37", "37", range(15, 16)),
    ),
    "discover": (
        Issuer("6011", "6011", range(16, 20)),
        Issuer("644", "649", range(16, 20)),
        Issuer("65", "65", range(16, 20)),
    ),
    "diners_club": (
        Issuer("300", "305", range(14, 20)),
        Issuer("3095", "3095", range(14, 20)),
        Issuer("36", "36", range(14, 20)),
        Issuer("38", "39", range(14, 20)),
    ),
    "jcb": (Issuer("3528", "3589", range(16, 20)),),
    "unionpay": (
        Issuer("62", "62", range(16, 20)),
        Issuer("8100", "8171", range(16, 20)),
    ),
    "maestro": (
        Issuer("5018", "5018", range(13, 20)),
        Issuer("5020", "5020", range(13, 20)),
        Issuer("5038", "5038", range(13, 20)),
        Issuer("5893", "5893", range(13, 20)),
        Issuer("6304", "6304", range(13, 20)),
        Issuer("6759", "6759", range(13, 20)),
        Issuer("6761", "6763", range(13, 20)),
    ),
    "mir": (Issuer("2200", "2204", range(16, 20)),),
    "rupay": (
        Issuer("508", "508", range(16, 17)),
        Issuer("606", "608", range(16, 17)),
        Issuer("82", "82", range(16, 17)),
    ),
}

_SHOWN_DIGITS = 4
_GAP = r"[ \u00a0\u2009\u202f\u2010-\u2013-]"
# Reason: digits after a plus sign are a telephone number, and digits after a point are a fraction.
# The digit comes first in the pattern and the lookbehind second, because that is much faster.
_BEGIN, _END = r"\d(?<![\d+]\d)(?<!\d\.\d)", r"(?!\.?\d)"
# A number without other digits next to it; separators may stand between any two digits.
_ALONE = re.compile(rf"{_BEGIN}(?<!\d{_GAP}\d)(?:{_GAP}?\d){{12,18}}(?!{_GAP}\d){_END}")
# A number next to other numbers: without separators, or grouped as printed on cards.
_PRINTED = re.compile(
    rf"{_BEGIN}(?:\d{{12,18}}"
    rf"|\d{{3}}{_GAP}\d{{4}}{_GAP}\d{{4}}{_GAP}(?:\d{{4}}(?:{_GAP}\d{{1,3}}(?!\d))?|\d)"
    rf"|\d{{3}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}"
    rf"|\d{{5}}{_GAP}\d{{13}}){_END}"
)
_GROUP = re.compile(r"\d+")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UUID_LENGTH = 36
_WORD_BEFORE = re.compile(r"[^\W_]*\Z")
_WORD_AFTER = re.compile(r"[^\W_]*")
# How many characters next to a number are examined.
_GLUE_LENGTH = 40
_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}


def is_card_number(digits: str) -> bool:
    """Tell whether digits without separators are a card number.

    Args:
        digits: Decimal digits of any script.

    Returns:
        Whether a card network issues such a number and its check digit is right.
    """
    plain = digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)
    return _passes_luhn(plain) and _has_issuer(plain)


def has_card_number(text: str) -> bool:
    """Tell whether a text contains a card number."""
    return next(_card_spans(text), None) is not None


def mask_card_numbers(text: str) -> str:
    """Replace all digits of card numbers except the last four by `*`.

    Args:
        text: Text from a user or an outside system.

    Returns:
        The text with all other characters unchanged; its length stays the same.
    """
    pieces: list[str] = []
    done = 0
    for start, end in _card_spans(text):
        pieces += (text[done:start], _masked(text[start:end]))
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def _card_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each card number, from left to right."""
    alone = [each.span() for each in _ALONE.finditer(text) if _is_card(text, each[0], each.span())]
    done = 0
    for start, end in sorted([*alone, *_spans_among_digits(text)]):
        if start >= done:
            yield start, end
            done = end


def _spans_among_digits(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (match := _PRINTED.search(text, at)) is not None:
        start, at = match.span()
        groups = _GROUP.findall(match[0])
        # Reason: digits after a card number, e.g. a date, may look like its last group.
        shorter = " ".join(groups[:-1]) if len(groups) == 5 else ""
        if _is_card(text, match[0], match.span()):
            yield match.span()
        elif shorter and _is_card(text, shorter, (start, start + len(shorter))):
            at = start + len(shorter)
            yield start, at
        elif len(groups) > 1:
            at = start + len(groups[0])


def _is_card(text: str, number: str, span: tuple[int, int]) -> bool:
    is_number = is_card_number("".join(_GROUP.findall(number)))
    return is_number and not _is_in_uuid(text, *span) and _stands_alone(text, *span)


def _is_in_uuid(text: str, start: int, end: int) -> bool:
    around = text[max(0, start - _UUID_LENGTH) : end + _UUID_LENGTH]
    shift = start - max(0, start - _UUID_LENGTH)
    return any(
        uuid.start() < shift + end - start and shift < uuid.end() for uuid in _UUID.finditer(around)
    )


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Tell whether the word characters directly next to a number contain no digits."""
    before = _WORD_BEFORE.search(text[max(0, start - _GLUE_LENGTH) : start])
    after = _WORD_AFTER.match(text[end : end + _GLUE_LENGTH])
    glued = (before[0] if before else "") + (after[0] if after else "")
    return not any(letter.isdecimal() for letter in glued)


def _masked(number: str) -> str:
    left = sum(letter.isdecimal() for letter in number)
    letters = []
    for letter in number:
        is_hidden = letter.isdecimal() and left > _SHOWN_DIGITS
        letters.append("*" if is_hidden else letter)
        left -= letter.isdecimal()
    return "".join(letters)


def _has_issuer(digits: str) -> bool:
    return any(
        len(digits) in issuer.lengths and issuer.first <= digits[: len(issuer.first)] <= issuer.last
        for issuers in ISSUERS.values()
        for issuer in issuers
    )


def _passes_luhn(digits: str) -> bool:
    total = sum(map(int, digits[::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))
    return total % 10 == 0
