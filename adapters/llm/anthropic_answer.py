"""The events of one of Anthropic's messages."""

import json
from typing import Any

from adapters.llm.port import Incoming
from adapters.llm.reading import Json, a_count, a_text, an_object, objects
from adapters.llm.usage import read_anthropic
from domain.llm import FinishReason, RequestedCall

# Reason: `pause_turn` is left out: the model has not ended, and only a server's own tools pause it.
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
    """What the events have said so far.

    Args:
        incoming: Gets what is said.
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
        """What the model asks for."""
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
        """The blocks of thinking, each with how many of our other blocks stand before it."""
        found = [block for _, block in sorted(self._thinking.items())]
        return {THINKING: found} if found else {}

    def take(self, body: Any) -> None:
        """Add what one event says, or a whole message from a server that does not stream."""
        event = an_object(body)
        match event.get("type"):
            case "message_start":
                self._take_usage(an_object(event.get("message")), is_final=False)
            case "content_block_start":
                self._take_block(_index(event), an_object(event.get("content_block")))
            case "content_block_delta":
                self._take_delta(_index(event), an_object(event.get("delta")))
            case "message_delta":
                self._take_end(an_object(event.get("delta")), event)
            case "message":
                for index, block in enumerate(objects(event.get("content"))):
                    self._take_block(index, block)
                self._take_end(event, event)
            case _:
                pass

    def _take_end(self, end: Json, event: Json) -> None:
        self._take_usage(event, is_final=True)
        if reason := a_text(end.get("stop_reason")):
            self.finish_reason = _FINISH_REASONS.get(reason)

    def _take_usage(self, event: Json, *, is_final: bool) -> None:
        found = an_object(event.get("usage"))
        if not found:
            return
        is_final = is_final and a_count(found.get("output_tokens")) is not None
        usage = read_anthropic(found, self._incoming.progress.usage)
        self._incoming.report(usage, is_final=is_final or self._incoming.progress.is_final)

    def _take_block(self, index: int, block: Json) -> None:
        kind = block.get("type")
        if kind == "text":
            self._say(a_text(block.get("text")))
        elif kind == "tool_use":
            given = block.get("input")
            self._incoming.begin_call()
            self._incoming.see(a_text(block.get("name")) + (json.dumps(given) if given else ""))
            self._calls[index] = block
        elif kind in THINKING_TYPES:
            self._see(a_text(block.get("thinking")))
            place = int(self._has_text) + len(self._calls)
            self._thinking[index] = {"place": place, "block": dict(block)}

    def _take_delta(self, index: int, delta: Json) -> None:
        match delta.get("type"):
            case "text_delta":
                self._say(a_text(delta.get("text")))
            case "input_json_delta":
                piece = _json_text(delta.get("partial_json"))
                self._incoming.see(piece)
                self._inputs[index] = self._inputs.get(index, "") + piece
            case "thinking_delta":
                self._see(a_text(delta.get("thinking")))
                self._extend(index, "thinking", a_text(delta.get("thinking")))
            case "signature_delta":
                self._extend(index, "signature", a_text(delta.get("signature")))
            case _:
                pass

    def _say(self, text: str) -> None:
        self._has_text = self._has_text or bool(text.strip())
        self._incoming.add_text(text)

    def _see(self, thought: str) -> None:
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
