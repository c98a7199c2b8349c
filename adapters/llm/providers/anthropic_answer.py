"""Reads the events of one streamed message of Anthropic."""

import json
from typing import Any

from adapters.llm.provider import Incoming
from adapters.llm.reading import Json, a_count, a_text, an_object, objects
from adapters.llm.usage import read_anthropic
from domain.llm.messages import FinishReason, RequestedCall

# Reason: `pause_turn` is left out: the answer has not ended, and only the provider's own tools
# pause an answer.
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.REFUSED,
}
THINKING = "thinking"
THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})
_OWN_FIELDS = frozenset({"type", "id", "name", "input"})


class AnthropicAnswer:
    """Collects the answer of a model from the events of its stream.

    Args:
        incoming: Receives the text, the usage and all other output.
    """

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._calls: dict[int, Json] = {}
        self._inputs: dict[int, str] = {}
        self._thinking: dict[int, Json] = {}
        self._has_text = False
        self.finish_reason: FinishReason | None = None

    @property
    def calls(self) -> tuple[RequestedCall, ...]:
        """Tool calls that the model requests."""
        return tuple(
            RequestedCall(
                provider_call_id=a_text(block.get("id")),
                tool=a_text(block.get("name")),
                arguments=self._inputs.get(index) or json.dumps(block.get("input") or {}),
                parts={key: each for key, each in block.items() if key not in _OWN_FIELDS},
            )
            for index, block in sorted(self._calls.items())
        )

    @property
    def parts(self) -> Json:
        """Thinking blocks, each with the number of text and tool blocks before it."""
        found = [block for _, block in sorted(self._thinking.items())]
        return {THINKING: found} if found else {}

    def take(self, body: Any) -> None:
        """Read one event, or a whole message from a server that does not stream."""
        event = an_object(body)
        match event.get("type"):
            case "message_start":
                self._read_usage(an_object(event.get("message")), is_final=False)
            case "content_block_start":
                self._read_block(_index(event), an_object(event.get("content_block")))
            case "content_block_delta":
                self._read_delta(_index(event), an_object(event.get("delta")))
            case "message_delta":
                self._read_end(an_object(event.get("delta")), event)
            case "message":
                for index, block in enumerate(objects(event.get("content"))):
                    self._read_block(index, block)
                self._read_end(event, event)
            case _:
                pass

    def _read_end(self, end: Json, event: Json) -> None:
        self._read_usage(event, is_final=True)
        if reason := a_text(end.get("stop_reason")):
            self.finish_reason = _FINISH_REASONS.get(reason)

    def _read_usage(self, event: Json, *, is_final: bool) -> None:
        found = an_object(event.get("usage"))
        if not found:
            return
        is_final = is_final and a_count(found.get("output_tokens")) is not None
        usage = read_anthropic(found, self._incoming.progress.usage)
        self._incoming.report(usage, is_final=is_final or self._incoming.progress.is_final)

    def _read_block(self, index: int, block: Json) -> None:
        kind = block.get("type")
        if kind == "text":
            self._add_text(a_text(block.get("text")))
        elif kind == "tool_use":
            given = block.get("input")
            self._incoming.begin_call()
            self._incoming.see(a_text(block.get("name")) + (json.dumps(given) if given else ""))
            self._calls[index] = block
        elif kind in THINKING_TYPES:
            self._add_thought(a_text(block.get("thinking")))
            position = int(self._has_text) + len(self._calls)
            self._thinking[index] = {"place": position, "block": dict(block)}

    def _read_delta(self, index: int, delta: Json) -> None:
        match delta.get("type"):
            case "text_delta":
                self._add_text(a_text(delta.get("text")))
            case "input_json_delta":
                piece = _json_text(delta.get("partial_json"))
                self._incoming.see(piece)
                self._inputs[index] = self._inputs.get(index, "") + piece
            case "thinking_delta":
                self._add_thought(a_text(delta.get("thinking")))
                self._extend(index, "thinking", a_text(delta.get("thinking")))
            case "signature_delta":
                self._extend(index, "signature", a_text(delta.get("signature")))
            case _:
                pass

    def _add_text(self, text: str) -> None:
        self._has_text = self._has_text or bool(text.strip())
        self._incoming.add_text(text)

    def _add_thought(self, thought: str) -> None:
        if thought:
            self._incoming.see(thought)

    def _extend(self, index: int, name: str, piece: str) -> None:
        if index in self._thinking:
            block = self._thinking[index]["block"]
            block[name] = a_text(block.get(name)) + piece


def _index(event: Json) -> int:
    found = event.get("index")
    return found if isinstance(found, int) else 0


def _json_text(found: Any) -> str:
    if found is None or isinstance(found, str):
        return found or ""
    return json.dumps(found, ensure_ascii=False)
