"""Parses the arguments of tool calls, with repairs of the JSON that models write.

Only unambiguous mistakes are repaired, and no code is evaluated. Text that may be cut off within a
value is refused: an amount without its last digits is wrong, and the model can write it again.
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
# Reason: models encode an object as a JSON string, sometimes twice, and rarely three times.
MAX_WRAPPINGS = 3


def read_arguments(raw: str) -> dict[str, Any]:
    """Parse the arguments of a tool call.

    Args:
        raw: Text that the model wrote: a JSON object, possibly with text or a code fence around
            it, single quotes, Python literals, unquoted keys, trailing commas, missing closing
            braces, or encoded as a JSON string. An empty text means no arguments.

    Returns:
        The arguments; a valid JSON object is returned unchanged.

    Raises:
        InvalidInputError: The arguments cannot be read (`malformed_tool_call`); the message does
            not quote them.
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
            raise _refusal("they are valid JSON, but not an object")
        text = found
    raise _refusal("they are encoded as JSON text too many times")


def _load(text: str) -> Any:
    return json.loads(text, strict=False, parse_constant=_no_number, parse_float=_finite)


def _load_or_refuse(text: str) -> Any:
    try:
        return _load(text)
    except json.JSONDecodeError as error:
        raise _refusal(f"their JSON is broken: {error.msg}") from error
    except ValueError as error:
        raise _refusal("they contain a number that JSON does not allow") from error


def _no_number(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(digits)
    return number


def _repaired(text: str) -> str:
    """Return the only object in a text as valid JSON."""
    start = text.find("{")
    if start < 0:
        raise _refusal("they contain no JSON object")
    written: list[str] = []
    open_marks: list[str] = []
    position = start
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _refusal("a string in them is not closed")
        position = token.end()
        if token.lastgroup == "space":
            continue
        _write(token, written, open_marks)
        if not open_marks:
            break
    if "{" in text[position:]:
        raise _refusal("they contain more than one JSON object")
    if open_marks:
        _refuse_if_cut(written[-1])
    return "".join([*written, *reversed(open_marks)])


def _write(token: re.Match[str], written: list[str], open_marks: list[str]) -> None:
    """Append one token as valid JSON; `open_marks` are the closing brackets still missing."""
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
    """Return a string in double quotes, with JSON escapes only."""

    def escaped(match: re.Match[str]) -> str:
        if match[2]:
            return '\\"'
        if match[1] == "'":
            return "'"
        return match[0] if match[1] in '"\\/bfnrtu' else f"\\\\{match[1]}"

    return f'"{_ESCAPE.sub(escaped, found[1:-1])}"'


def _refuse_if_cut(last: str) -> None:
    """Refuse text that is cut off within a value; only closing brackets may be missing."""
    if last in {",", ":"}:
        raise _refusal("they are cut off before their end")
    if last[0] not in '"}]{[' and last not in {"true", "false", "null"}:
        raise _refusal("they are cut off after a number or word that may be incomplete")


def _storable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Refuse characters that the database cannot store: NUL and half a surrogate pair."""
    for text in _texts(arguments):
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise _refusal("a string in them has a character that cannot be stored")
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
