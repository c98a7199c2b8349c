"""Parameters that a model has refused by name: they are not sent to it again."""

import re
from collections import defaultdict
from typing import Any

from adapters.llm.anthropic_answer import THINKING_TYPES
from adapters.llm.limits import find_output_limit
from adapters.llm.reading import Json, an_object, objects
from domain.errors import ProviderRejectedError

LIMITS = ("max_tokens", "max_completion_tokens")
# What no request can do without.
_NEEDED = frozenset({"model", "messages", "stream", "tools", "system"})
_OF_MESSAGES = ("reasoning_content", "reasoning_details", "reasoning", "extra_content")
# Keywords of JSON schema without which a tool's arguments are still described.
_OF_SCHEMAS = (
    "format",
    "additionalProperties",
    "title",
    "default",
    "examples",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "const",
)
_UNKNOWN = re.compile(
    r"unsupported|not support|n't support|unrecognized|unknown|unexpected|not permitted"
    r"|not allowed|forbidden|deprecated",
    re.IGNORECASE,
)
# Reason: `invalid` alone may mean a value, and a limit's value is no reason to give the limit up.
_REFUSED = re.compile(
    rf"{_UNKNOWN.pattern}|\binvalid\b|only .{{0,60}}(supported|allowed)|cannot find field",
    re.IGNORECASE,
)
_THINKING = "blocks of thinking"
_THINKING_WORDS = re.compile(r"`?thinking`? .{0,40}block|signature", re.IGNORECASE)
_IN_SCHEMA = re.compile(r"schema|tool|function|parameters|STRING type", re.IGNORECASE)
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
# Mistral's order of roles: only the assistant speaks after a tool.
_TOOL_THEN_USER = re.compile(r"role '?user'? after role '?tool", re.IGNORECASE)
_BRIDGE = "an assistant's message between a tool's result and a user's message"


class Refusals:
    """What each model has refused, for as long as this process lives."""

    def __init__(self) -> None:
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._output_limits: dict[str, int] = {}

    def apply(self, model: str, wire: Json) -> Json:
        """Leave out, or say otherwise, what a model has refused.

        Args:
            model: Who will be asked.
            wire: The request as it would be sent.

        Returns:
            The request as it is sent.

        Raises:
            ProviderRejectedError: The model takes no limit of what it may write, so that nothing
                would hold its cost (`model_limit_refused`).
        """
        refused = self._names[model]
        sent = {name: value for name, value in wire.items() if name not in refused}
        limit = next(value for name, value in wire.items() if name in LIMITS)
        sent[self._limit_name(model, wire)] = min(limit, self._output_limits.get(model, limit))
        if gone := refused.intersection(_OF_MESSAGES):
            sent["messages"] = [_without(message, gone) for message in sent["messages"]]
        if _THINKING in refused:
            sent["messages"] = [_thoughtless(message) for message in sent["messages"]]
        if _BRIDGE in refused:
            sent["messages"] = _bridged(sent["messages"])
        if "tools" in sent and (gone := refused.intersection(_OF_SCHEMAS)):
            sent["tools"] = [_plainer(tool, gone) for tool in sent["tools"]]
        return sent

    def learn(self, model: str, sent: Json, words: str, param: str | None) -> bool:
        """Note what a refusal names.

        Args:
            model: Who refused.
            sent: The request as it was sent.
            words: The provider's words.
            param: What it names as the cause, if it does.

        Returns:
            Whether the request would be another one now.
        """
        if (most := find_output_limit(words)) and most < next(
            value for name, value in sent.items() if name in LIMITS
        ):
            self._output_limits[model] = most
            return True
        if name := _named(sent, words, param):
            self._names[model].add(name)
            return True
        return False

    def _limit_name(self, model: str, wire: Json) -> str:
        usual = next(name for name in wire if name in LIMITS)
        left = [name for name in (usual, *LIMITS) if name not in self._names[model]]
        if not left:
            # Reason: one odd answer must not end every later run of this model; refusals are free.
            self._names[model].difference_update(LIMITS)
            raise ProviderRejectedError(
                "the provider takes no limit of what the model may write",
                "model_limit_refused",
                {"model": model},
            )
        return left[0]


def _named(sent: Json, words: str, param: str | None) -> str | None:
    """Return what a refusal names of a request that was sent."""
    optional = [name for name in sent if name not in _NEEDED]
    if param in optional and param not in LIMITS:
        return param
    if _TOOL_THEN_USER.search(words) and _bridged(sent["messages"]) != sent["messages"]:
        return _BRIDGE
    if _THINKING_WORDS.search(words) and any(map(_has_thinking, sent["messages"])):
        return _THINKING
    if not _UNKNOWN.search(words):
        optional = [name for name in optional if name not in LIMITS]
    if not _REFUSED.search(words):
        return None
    inside = [name for name in _OF_MESSAGES if any(name in message for message in sent["messages"])]
    found = _first_named(words, [*optional, *inside])
    if found is None and _IN_SCHEMA.search(words):
        keywords = [name for name in _OF_SCHEMAS if _has_keyword(sent.get("tools"), name)]
        found = _first_named(words, keywords)
    return found


def _first_named(words: str, names: list[str]) -> str | None:
    places = {}
    for name in names:
        if place := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words):
            places[name] = place.start()
    return min(places, key=places.__getitem__) if places else None


def _without(fields: Json, names: set[str]) -> Json:
    return {name: value for name, value in fields.items() if name not in names}


def _has_thinking(message: Json) -> bool:
    return _thoughtless(message) != message


def _thoughtless(message: Json) -> Json:
    if not isinstance(message["content"], list):
        return message
    kept = [block for block in message["content"] if block["type"] not in THINKING_TYPES]
    return message | {"content": kept}


def _plainer(tool: Json, keywords: set[str]) -> Json:
    """Return a tool whose schema lacks keywords, in either provider's words."""
    if "function" in tool:
        return tool | {"function": _plainer(tool["function"], keywords)}
    field = "parameters" if "parameters" in tool else "input_schema"
    return tool | {field: _schema_without(tool[field], keywords)}


def _schema_without(schema: Any, keywords: set[str]) -> Any:
    if isinstance(schema, list):
        return [_schema_without(each, keywords) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # Reason: below these the names are the tool's own, and one may be called `format`.
    return {
        name: (
            {key: _schema_without(each, keywords) for key, each in value.items()}
            if name in _NAMED_SCHEMAS
            else _schema_without(value, keywords)
        )
        for name, value in schema.items()
        if name not in keywords
    }


def _has_keyword(tools: Any, keyword: str) -> bool:
    return any(_plainer(tool, {keyword}) != tool for tool in objects(tools))


def _bridged(messages: list[Json]) -> list[Json]:
    found: list[Json] = []
    for message in messages:
        if found and found[-1].get("role") == "tool" and message.get("role") == "user":
            found.append({"role": "assistant", "content": "I have read that."})
        found.append(an_object(message))
    return found
