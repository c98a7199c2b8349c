"""Reads the chunks of a chat completion, in all forms that servers send."""

import json
from dataclasses import dataclass, field
from typing import Any

from adapters.llm.provider import Incoming
from adapters.llm.reading import Json, a_text, an_object, objects, texts
from adapters.llm.usage import read_openai
from domain.llm.messages import FinishReason, RequestedCall

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
# The first name is used by DeepSeek, Kimi and older vLLM; the second by newer vLLM, Groq and
# OpenRouter.
REASONING = ("reasoning_content", "reasoning")
# The first name is used by OpenRouter, the second by Gemini.
DETAILS, EXTRA = "reasoning_details", "extra_content"
REASONING_FIELDS = frozenset({*REASONING, DETAILS})
_OWN_FIELDS = frozenset({"id", "index", "type", "function"})


@dataclass
class _Call:
    """Tool call while it is received."""

    id: str
    tool: str = ""
    arguments: str = ""
    parts: Json = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON value."""
        try:
            json.loads(self.arguments)
        except ValueError:
            return False
        return True


class OpenAIAnswer:
    """Collects the answer of a model from the chunks of its stream.

    Args:
        incoming: Receives the text, the usage and all other output.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._has_refused = False
        self._has_ended = False
        self._finish_reason: FinishReason | None = None
        self._parts: Json = {}

    @property
    def finish_reason(self) -> FinishReason | None:
        """Reason why the model stopped; None if it is missing or unknown."""
        return FinishReason.REFUSED if self._has_refused else self._finish_reason

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """Tool calls that the model requests."""
        return tuple(
            RequestedCall(
                provider_call_id=call.id,
                tool=call.tool,
                arguments=call.arguments,
                parts=call.parts,
            )
            for call in self._calls
        )

    @property
    def parts(self) -> Json:
        """Provider's data to send back with the message; reasoning only beside tool calls."""
        unwanted = frozenset() if self._calls else REASONING_FIELDS
        return {name: part for name, part in self._parts.items() if name not in unwanted}

    def take(self, body: Any) -> None:
        """Read one chunk, or a whole completion from a server that does not stream."""
        chunk = an_object(body)
        choices = objects(chunk.get("choices"))
        for choice in choices:
            self._read_message(an_object(choice.get("delta") or choice.get("message")))
            if reason := a_text(choice.get("finish_reason")):
                self._has_ended = True
                # Reason: an unknown reason (vLLM's `abort`) is not the end of an answer.
                self._finish_reason = _FINISH_REASONS.get(reason.lower())
        if reported := read_openai(chunk.get("usage")):
            # Reason: some servers send usage in every chunk; the last has no choices or follows the
            # end.
            is_last = self._has_ended or not choices
            self._incoming.report(reported.usage, is_final=is_last and reported.is_whole)

    def _read_message(self, message: Json) -> None:
        self._read_reasoning(message)
        self._read_content(message.get("content"))
        if refusal := a_text(message.get("refusal")):
            self._has_refused = True
            self._incoming.add_text(refusal)
        for piece in objects(message.get("tool_calls")):
            self._read_call(piece)

    def _read_content(self, content: Any) -> None:
        if not isinstance(content, list):
            self._incoming.add_text(texts(content))
            return
        for part in content:
            thought = an_object(part).get("thinking") or an_object(part).get("reasoning")
            if thought:
                self._incoming.see(texts(thought))
            else:
                self._incoming.add_text(texts([part]))

    def _read_reasoning(self, message: Json) -> None:
        thoughts = {name: a_text(message.get(name)) for name in REASONING}
        for name, thought in thoughts.items():
            if thought:
                self._parts[name] = self._parts.get(name, "") + thought
        details = objects(message.get(DETAILS))
        if details:
            self._parts[DETAILS] = [*self._parts.get(DETAILS, []), *details]
        if extra := an_object(message.get(EXTRA)):
            self._parts[EXTRA] = self._parts.get(EXTRA, {}) | extra
        # Reason: some servers send the same thought in two fields, but charge for it once.
        seen = next(filter(None, thoughts.values()), "") or texts(details)
        if seen:
            self._incoming.see(seen)

    def _read_call(self, piece: Json) -> None:
        function = an_object(piece.get("function"))
        name, arguments = a_text(function.get("name")), _arguments(function.get("arguments"))
        self._incoming.see(name + arguments)
        call = self._call_of(piece, name, arguments)
        call.tool = call.tool or name
        call.arguments += arguments
        call.parts |= {key: each for key, each in piece.items() if key not in _OWN_FIELDS}
        if more := {key: each for key, each in function.items() if key not in _OWN_FUNCTION}:
            call.parts["function"] = call.parts.get("function", {}) | more

    def _call_of(self, piece: Json, name: str, arguments: str) -> _Call:
        """Return the call that a piece belongs to; create it if the piece begins a call."""
        found, given = piece.get("index"), a_text(piece.get("id"))
        index = found if isinstance(found, int) else 0
        call = self._by_index.get(index)
        # Reason: some servers give every call the index 0, and some of them no id either. A new id
        # begins a new call, or else a name that follows a complete call.
        if (
            call is None
            or (given and given != call.id)
            or (not given and _begins(call, name, arguments))
        ):
            call = _Call(given)
            self._incoming.begin_call()
            self._calls.append(call)
            self._by_index[index] = call
        return call


_OWN_FUNCTION = frozenset({"name", "arguments"})


def _begins(call: _Call, name: str, arguments: str) -> bool:
    if not name or not call.tool:
        return False
    return name != call.tool or (bool(arguments) and call.is_whole)


def _arguments(found: Any) -> str:
    """Return arguments as JSON text; TGI and bridges to Ollama send an object, others null."""
    if found is None or isinstance(found, str):
        return found or ""
    return json.dumps(found, ensure_ascii=False)
