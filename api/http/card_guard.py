"""What becomes of card numbers that are sent to us: refused in names, masked in free text.

Reason for a context variable: the types of fields are made when modules load, and the setting that
turns this off is known per application.
"""

from contextvars import ContextVar

from domain.card_numbers import has_card_number, mask_card_numbers

_IS_ON: ContextVar[bool] = ContextVar("is_card_number_guard_on", default=True)


def guard_card_numbers(*, is_on: bool) -> None:
    """Turn the guard on or off for the request at hand."""
    _IS_ON.set(is_on)


def refuse_card_number(text: str) -> str:
    """Return a name or an id, unless it holds a card number.

    Raises:
        ValueError: It does.
    """
    if _IS_ON.get() and has_card_number(text):
        raise ValueError("a card number must not stand here")
    return text


def masked(text: str) -> str:
    """Return free text with its card numbers masked."""
    return mask_card_numbers(text) if _IS_ON.get() else text


def masked_number(value: bool | float | str | None) -> bool | float | str | None:
    """Return a value; a number that is a card's becomes masked text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    text = str(value)
    hidden = masked(text)
    return value if hidden == text else hidden
