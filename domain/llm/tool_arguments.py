"""Arguments of a tool call, read from the JSON that models really write. Nothing is evaluated.

Repaired is only what has one meaning. Text that may have been cut off in the middle of a value is
refused: an amount that lost its last digits is a wrong amount, and the model can write it again.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from domain.errors import InvalidInputError

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<mark>[{}\[\],:])
    | (?P<word>[^\s{}\[\],:"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(.)|(")', re.DOTALL)
_KEY = re.compile(r"[A-Za-z_][\w$-]*")
_WORDS = {"True": "true", "False": "false", "None": "null"}
_CLOSERS = {"{": "}", "[": "]"}
# Reason: models write an object as JSON text, that text as JSON text again, and rarely once more.
MAX_WRAPPINGS = 3


def read_arguments(raw: str) -> dict[str, Any]:
    """Read a tool call's arguments.

    Args:
        raw: What the model wrote: an object in JSON, perhaps with text or a code fence around it,
            single quotes, Python's literals, bare keys, trailing commas, braces missing at its
            end, or written as a JSON string. Nothing at all means no arguments.

    Returns:
        The arguments; a valid JSON object comes back as it is.

    Raises:
        InvalidInputError: `malformed_tool_call`, and what is wrong, in words that quote nothing.
    """
    try:
        return _unwrapped(raw)
    except RecursionError as error:
        raise _refusal("they are nested too deeply") from error


def _unwrapped(text: str) -> dict[str, Any]:
    for _ in range(MAX_WRAPPINGS):
        if not text.strip():
            return {}
        try:
            found = _load(text)
        except ValueError:
            found = _load_or_refuse(_repaired(text))
        if isinstance(found, dict):
            return _storable(found)
        if not isinstance(found, str):
            raise _refusal("they are valid JSON, but no object")
        text = found
    raise _refusal("they are JSON text within JSON text, again and again")


def _load(text: str) -> Any:
    return json.loads(text, strict=False, parse_constant=_no_number, parse_float=_finite)


def _load_or_refuse(text: str) -> Any:
    try:
        return _load(text)
    except json.JSONDecodeError as error:
        raise _refusal(f"their JSON is broken: {error.msg}") from error
    except ValueError as error:
        raise _refusal("a number in them is none that JSON knows") from error


def _no_number(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(digits)
    return number


def _repaired(text: str) -> str:
    """Write the one object within a text in proper JSON."""
    start = text.find("{")
    if start < 0:
        raise _refusal("there is no JSON object in them")
    written: list[str] = []
    open_marks: list[str] = []
    position = start
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _refusal("a text in them is not closed")
        position = token.end()
        if token.lastgroup == "space":
            continue
        _write(token, written, open_marks)
        if not open_marks:
            break
    if "{" in text[position:]:
        raise _refusal("there is more than one JSON object in them")
    if open_marks:
        _refuse_if_cut(written[-1])
    return "".join([*written, *reversed(open_marks)])


def _write(token: re.Match[str], written: list[str], open_marks: list[str]) -> None:
    """Add one token, in proper JSON; `open_marks` are the closing marks still due."""
    found = token[0]
    match token.lastgroup:
        case "string":
            found = _quoted(found)
        case "word":
            found = _WORDS.get(found, found)
            if _KEY.fullmatch(found) and token.string[token.end() :].lstrip().startswith(":"):
                found = f'"{found}"'
        case _ if found in _CLOSERS:
            open_marks.append(_CLOSERS[found])
        case _ if found in _CLOSERS.values():
            if found != open_marks.pop():
                raise _refusal("their brackets do not match")
            if written[-1] == ",":
                written.pop()
    written.append(found)


def _quoted(found: str) -> str:
    """Write a string in double quotes, with such escapes only as JSON knows."""

    def escaped(match: re.Match[str]) -> str:
        if match[2]:
            return '\\"'
        if match[1] == "'":
            return "'"
        return match[0] if match[1] in '"\\/bfnrtu' else f"\\\\{match[1]}"

    return f'"{_ESCAPE.sub(escaped, found[1:-1])}"'


def _refuse_if_cut(last: str) -> None:
    """Refuse what broke off where more was to come; only closing marks may be missing."""
    if last in {",", ":"}:
        raise _refusal("they break off where more was to come")
    if last[0] not in '"}]{[' and last not in {"true", "false", "null"}:
        raise _refusal("they break off after a number or word that may be cut")


def _storable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Refuse characters that no database takes: NUL, and halves of surrogate pairs."""
    for text in _texts(arguments):
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise _refusal("a text in them has a character that cannot be stored")
    return arguments


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _refusal(reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"the tool call's arguments cannot be read: {reason}",
        "malformed_tool_call",
        {"reason": reason},
    )
