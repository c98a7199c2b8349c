"""Remembers the parameters that a model has refused, so that they are not sent to it again."""

import re
from collections import defaultdict
from typing import Any

from adapters.llm.limits import find_output_limit
from adapters.llm.providers.anthropic_answer import THINKING_TYPES
from adapters.llm.reading import Json, an_object, objects
from domain.errors import ProviderRejectedError

LIMITS = ("max_tokens", "max_completion_tokens")
# Parameters that every request needs.
_NEEDED = frozenset({"model", "messages", "stream", "tools", "system"})
_OF_MESSAGES = ("reasoning_content", "reasoning_details", "reasoning", "extra_content")
# Keywords of JSON schema that can be left out: a tool's arguments are still described.
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
# Reason: `invalid` alone may mean a wrong value, for which a limit must not be left out.
_REFUSED = re.compile(
    rf"{_UNKNOWN.pattern}|\binvalid\b|only .{{0,60}}(supported|allowed)|cannot find field",
    re.IGNORECASE,
)
# The parameters for the schema of an answer, and the other words by which servers refuse them. The
# prompt has the schema, too.
_OUTPUTS = ("response_format", "output_config")
_OUTPUT_WORDS = re.compile(
    r"response[ _]?(format|schema|mime)|json[ _](schema|mode|output)"
    r"|output[ _](config|format|schema)|structured[ _]output|guided[ _]",
    re.IGNORECASE,
)
_THINKING = "blocks of thinking"
_THINKING_WORDS = re.compile(r"`?thinking`? .{0,40}block|signature", re.IGNORECASE)
_IN_SCHEMA = re.compile(r"schema|tool|function|parameters|STRING type", re.IGNORECASE)
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
# Mistral accepts only a message of the assistant after a tool's result.
_TOOL_THEN_USER = re.compile(r"role '?user'? after role '?tool", re.IGNORECASE)
_BRIDGE = "an assistant's message between a tool's result and a user's message"


class Refusals:
    """Parameters that each model has refused, kept until the process ends."""

    def __init__(self) -> None:
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._output_limits: dict[str, int] = {}

    def apply(self, model: str, wire: Json) -> Json:
        """Return a request without the parameters that its model has refused.

        Args:
            model: Model that will be called.
            wire: Body of the request with all parameters.

        Returns:
            Body of the request to send.

        Raises:
            ProviderRejectedError: The model accepts no output limit, so that its cost would be
                unlimited (`model_limit_refused`).
        """
        refused = self._names[model]
        sent = {name: value for name, value in wire.items() if name not in refused}
        limit = next(value for name, value in wire.items() if name in LIMITS)
        sent[self._limit_name(model, wire)] = min(limit, self._output_limits.get(model, limit))
        if gone := refused.intersection(_OF_MESSAGES):
            sent["messages"] = [_without(message, gone) for message in sent["messages"]]
        if _THINKING in refused:
            sent["messages"] = [_without_thinking(message) for message in sent["messages"]]
        if _BRIDGE in refused:
            sent["messages"] = _with_bridges(sent["messages"])
        if "tools" in sent and (gone := refused.intersection(_OF_SCHEMAS)):
            sent["tools"] = [_without_keywords(tool, gone) for tool in sent["tools"]]
        return sent

    def learn(self, model: str, sent: Json, words: str, param: str | None) -> bool:
        """Record the parameter that a refusal names.

        Args:
            model: Model that refused.
            sent: Body of the request that was sent.
            words: Message of the provider.
            param: Parameter that the provider names as the cause, if any.

        Returns:
            Whether `apply` would return a different request now.
        """
        if (output_limit := find_output_limit(words)) and output_limit < next(
            value for name, value in sent.items() if name in LIMITS
        ):
            self._output_limits[model] = output_limit
            return True
        if name := _refused_parameter(sent, words, param):
            self._names[model].add(name)
            return True
        return False

    def _limit_name(self, model: str, wire: Json) -> str:
        usual = next(name for name in wire if name in LIMITS)
        accepted = [name for name in (usual, *LIMITS) if name not in self._names[model]]
        if not accepted:
            # Reason: one odd answer must not fail every later run of this model; refusals are free.
            self._names[model].difference_update(LIMITS)
            raise ProviderRejectedError(
                "the provider accepts no limit of the model's output",
                "model_limit_refused",
                {"model": model},
            )
        return accepted[0]


def _refused_parameter(sent: Json, words: str, param: str | None) -> str | None:
    """Return the parameter of a sent request that a refusal names; None if there is none."""
    optional = [name for name in sent if name not in _NEEDED]
    if param in optional and param not in LIMITS:
        return param
    if _TOOL_THEN_USER.search(words) and _with_bridges(sent["messages"]) != sent["messages"]:
        return _BRIDGE
    if _THINKING_WORDS.search(words) and any(map(_has_thinking, sent["messages"])):
        return _THINKING
    output = next((name for name in optional if name in _OUTPUTS), None)
    if output is not None and _OUTPUT_WORDS.search(param or words):
        return output
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
    positions = {}
    for name in names:
        if found := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words):
            positions[name] = found.start()
    return min(positions, key=positions.__getitem__) if positions else None


def _without(fields: Json, names: set[str]) -> Json:
    return {name: value for name, value in fields.items() if name not in names}


def _has_thinking(message: Json) -> bool:
    return _without_thinking(message) != message


def _without_thinking(message: Json) -> Json:
    if not isinstance(message["content"], list):
        return message
    kept = [block for block in message["content"] if block["type"] not in THINKING_TYPES]
    return message | {"content": kept}


def _without_keywords(tool: Json, keywords: set[str]) -> Json:
    """Return a tool without these schema keywords, in the format of either provider."""
    if "function" in tool:
        return tool | {"function": _without_keywords(tool["function"], keywords)}
    field = "parameters" if "parameters" in tool else "input_schema"
    return tool | {field: _schema_without(tool[field], keywords)}


def _schema_without(schema: Any, keywords: set[str]) -> Any:
    if isinstance(schema, list):
        return [_schema_without(each, keywords) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # Reason: below these keywords the names are the tool's own, and one may be called `format`.
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
    return any(_without_keywords(tool, {keyword}) != tool for tool in objects(tools))


def _with_bridges(messages: list[Json]) -> list[Json]:
    found: list[Json] = []
    for message in messages:
        if found and found[-1].get("role") == "tool" and message.get("role") == "user":
            found.append({"role": "assistant", "content": "I have read that."})
        found.append(an_object(message))
    return found
