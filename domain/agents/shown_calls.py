"""What people are shown of a tool call before they decide about it. Pure."""

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

# Unicode categories of characters that are not seen, or that change how others are shown.
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


class ShownFact(NamedTuple):
    """A named value of a call, as JSON text without unseen characters."""

    name: str
    value: str


def shown_facts(facts: Mapping[str, Any], max_length: int | None = None) -> list[ShownFact]:
    """Return the arguments or the effect of a call as a person is shown them.

    Args:
        facts: Arguments or effect.
        max_length: Longest value; the rest is cut off. None to cut nothing.
    """
    return [
        ShownFact(visible(name), shortened(_text(value), max_length))
        for name, value in facts.items()
    ]


def visible(text: str) -> str:
    """Return a text with its unseen characters written as escapes.

    Such a character can reverse the order in which a text is shown, so that it seems to be another.
    """
    return "".join(
        _escaped(each) if unicodedata.category(each) in _UNSEEN else each for each in text
    )


def shortened(text: str, max_length: int | None) -> str:
    """Return a text without what is beyond a length, which an ellipsis tells."""
    is_short = max_length is None or len(text) <= max_length
    return text if is_short else f"{text[:max_length]}…"


def _text(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
