"""Protects against card numbers in input: refuses them in names, masks them in free text.

Reason for a context variable: the types of fields are built when modules load, but the setting that
turns the guard off belongs to an application.
"""

from contextvars import ContextVar

from domain.card_numbers import has_card_number, mask_card_numbers

_IS_ON: ContextVar[bool] = ContextVar("is_card_number_guard_on", default=True)


def guard_card_numbers(*, is_on: bool) -> None:
    """Turn the guard on or off for the current request."""
    _IS_ON.set(is_on)


def refuse_card_number(text: str) -> str:
    """Return a name or an id unchanged, unless it holds a card number.

    Raises:
        ValueError: The text holds a card number.
    """
    if _IS_ON.get() and has_card_number(text):
        raise ValueError("a card number is not allowed here")
    return text


def masked(text: str) -> str:
    """Return free text with its card numbers masked."""
    return mask_card_numbers(text) if _IS_ON.get() else text


def mask_number(value: bool | float | str | None) -> bool | float | str | None:
    """Return a value; a card number, as text or as an integer, becomes masked text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    text = str(value)
    hidden = masked(text)
    return value if hidden == text else hidden
