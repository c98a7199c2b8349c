"""What a user's words ask the tools for, and the arguments that can be read out of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sandbox.llm.conversation import Call, Tool
from sandbox.llm.instances import smallest

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d+(?:[.,]\d{1,2})?)"
_AMOUNTS = (
    re.compile(rf"(?P<unit>[€$£¥])\s*{_NUMBER}"),
    re.compile(rf"{_NUMBER}\s*(?P<unit>[€$£¥]|[a-z]+)", re.IGNORECASE),
)
_HUNDREDFOLD = ("€", "$", "£", "eur", "euro", "euros", "usd", "dollar", "dollars", "gbp", "pounds")
_AS_IT_IS = ("cent", "cents", "¥", "jpy", "yen", "krw")
_FACTORS = dict.fromkeys(_HUNDREDFOLD, 100) | dict.fromkeys(_AS_IT_IS, 1)
_SYNONYMS = {"search": ("search", "remember", "recall")}
# Said anywhere, these ask for something; the others do where an order stands.
_ALWAYS = frozenset({"remember", "recall"})
_BEFORE_AN_ORDER = (
    r"(?:^|[.!?:;,\n]\s*|\b(?:please|and|then|now|also|just|(?:can|could|would|will) you"
    r"|(?:want|like|need)(?: you)? to)\s+(?:please\s+)?)"
)
_ASKS_ONLY = re.compile(
    r"(?i)^\W*(what|when|where|which|who|why|how|is|are|was|were|did|do|does|has|have)\b"
)


@dataclass
class Wish:
    """What the tools are asked for.

    Args:
        calls: One a tool that is asked for.
        missing: Arguments without which a tool that is asked for cannot be called.
    """

    calls: list[Call] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def find(text: str, tools: Sequence[Tool], choice: str) -> Wish:
    """Find what a user asks the tools for.

    Args:
        text: The user's last words.
        tools: What is on offer.
        choice: `auto`, `none`, `required` or the name of a tool that must be called.

    Returns:
        Calls with the arguments that the text gives.
    """
    wish = Wish()
    if choice == "none":
        return wish
    forced = _forced(tools, choice)
    for tool in [forced] if forced else tools:
        arguments, missing = _arguments(tool.parameters, text)
        is_ordered = _is_ordered(tool, text)
        if tool is forced or (not missing and (is_ordered or _is_meant(tool, text))):
            wish.calls.append(Call(tool.name, orjson.dumps(arguments).decode()))
        elif is_ordered:
            wish.missing += missing
    if not wish.calls and choice == "required" and tools:
        return find(text, tools, tools[0].name)
    return wish


def _forced(tools: Sequence[Tool], choice: str) -> Tool | None:
    return next((tool for tool in tools if tool.name == choice), None)


def _verbs(tool: Tool) -> tuple[str, ...]:
    verb = re.split(r"[_.\-]", tool.name.lower())[0]
    return _SYNONYMS.get(verb, (verb,))


def _is_ordered(tool: Tool, text: str) -> bool:
    """Tell whether a verb of the tool stands where orders stand."""
    return any(
        re.search(rf"(?i){'' if verb in _ALWAYS else _BEFORE_AN_ORDER}\b{re.escape(verb)}\b", text)
        for verb in _verbs(tool)
    )


def _is_meant(tool: Tool, text: str) -> bool:
    """Tell whether a statement names the verb and what the tool cannot do without."""
    if _ASKS_ONLY.match(text):
        return False
    properties, required = _fields(tool.parameters)
    is_specific = any(_is_id(name, properties[name]) for name in required)
    return is_specific and any(re.search(rf"(?i)\b{verb}\b", text) for verb in _verbs(tool))


def _fields(schema: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    properties = {
        name: _plain(field, schema) for name, field in (schema.get("properties") or {}).items()
    }
    return properties, [name for name in schema.get("required") or () if name in properties]


def _plain(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Look through references, and through `anyOf` with null."""
    if (reference := field.get("$ref", "")).startswith("#/$defs/"):
        return _plain(schema["$defs"][reference.removeprefix("#/$defs/")], schema)
    for option in field.get("anyOf") or field.get("oneOf") or ():
        if option.get("type") != "null":
            return _plain(option, schema)
    return field


def _is_id(name: str, field: dict[str, Any]) -> bool:
    is_text = field.get("type") == "string" and "enum" not in field
    return is_text and (field.get("format") == "uuid" or name.endswith("_id"))


def _arguments(schema: dict[str, Any], text: str) -> tuple[dict[str, Any], list[str]]:
    properties, required = _fields(schema)
    ids = _UUID.findall(text)
    rest = _UUID.sub(" ", text)
    found: dict[str, Any] = {}
    missing: list[str] = []
    for name, wanted in properties.items():
        if _is_id(name, wanted):
            value = ids.pop(0) if ids else None
        else:
            value = _value(name, wanted, rest)
        if value is None and name in required and wanted.get("type") == "string":
            value = None if _is_id(name, wanted) else _sentence(wanted, text)
        elif value is None and name in required and not name.endswith("_cents"):
            value = smallest(wanted, schema)
        if value is not None:
            found[name] = value
        elif name in required:
            missing.append(name)
    return found, missing


def _value(name: str, field: dict[str, Any], text: str) -> Any:
    """Read a value out of the text; None if it is not there."""
    if "enum" in field:
        words = text.casefold()
        return next((value for value in field["enum"] if str(value).casefold() in words), None)
    if field.get("type") not in {"integer", "number"}:
        return None
    if name.endswith("_cents"):
        return _cents(text)
    named = re.search(rf"(?i)\b{re.escape(name.replace('_', ' '))}\b\D{{0,12}}(\d+)", text)
    return int(named[1]) if named else None


def _cents(text: str) -> int | None:
    for pattern in _AMOUNTS:
        for match in pattern.finditer(text):
            if factor := _FACTORS.get(match["unit"].casefold()):
                return round(_number(match["number"]) * factor)
    return None


def _number(text: str) -> float:
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


def _sentence(field: dict[str, Any], text: str) -> str | None:
    if "enum" in field:
        return str(field["enum"][0])
    sentence = " ".join(text.split())
    return sentence[: field.get("maxLength", 500)] or None
