"""An answer put together piece by piece, in either provider's words, with whatever is odd in it."""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from sandbox.llm.conversation import Asked

_WORD = re.compile(r"\S+\s*")
PROMPT_TOKENS = 20


@dataclass(frozen=True)
class Part:
    """One write to the connection.

    Args:
        raw: What is written.
        shown: What of it a reader of the answer sees.
        tokens: What was generated for it, and is billed.
        pause: How many times a token's usual time it takes.
    """

    raw: bytes
    shown: str = ""
    tokens: int = 0
    pause: int = 1


@dataclass
class Plan:
    """How a request is answered.

    Args:
        parts: What is written, in order.
        is_cut: Whether the connection breaks after it.
        content_type: Of the answer.
        finish_reason: What the log shows as the end.
        prompt_tokens: What is billed of the prompt; None: as counted.
    """

    parts: list[Part] = field(default_factory=list)
    is_cut: bool = False
    content_type: str = "text/event-stream"
    finish_reason: str | None = None
    prompt_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """What has been generated, and is billed."""
        return sum(part.tokens for part in self.parts)


class Speech(Protocol):
    """Says things in one provider's words, as parts of a plan."""

    plan: Plan

    def say(self, text: str, *, in_one: bool = False) -> None:
        """Write text, a word a piece."""

    def think(self, text: str, signature: str | None = None) -> None:
        """Write visible reasoning, a word a piece."""

    def call(self, tool: str, arguments: Any, id: str = "", index: int = 0, **more: Any) -> None:
        """Ask for a tool, in one piece."""

    def end(self, reason: str | None, **usage: Any) -> None:
        """Write the end, with the usage; without a reason the stream just stops."""


class OpenAISpeech:
    """Chunks of a chat completion."""

    def __init__(self, asked: Asked, prompt_tokens: int) -> None:
        self.plan = Plan()
        self._asked = asked
        self._prompt_tokens = prompt_tokens

    def say(self, text: str, *, in_one: bool = False) -> None:
        """Write text, a word a piece."""
        words = _WORD.findall(text)
        for piece in [text] if in_one else words:
            self.delta({"content": piece}, piece, len(words) if in_one else 1)

    def think(self, text: str, signature: str | None = None) -> None:  # noqa: ARG002 - Anthropic's
        """Write visible reasoning, a word a piece."""
        for word in _WORD.findall(text):
            self.delta({"reasoning_content": word}, word)

    def call(self, tool: str, arguments: Any, id: str = "", index: int = 0, **more: Any) -> None:
        """Ask for a tool, in one piece."""
        function = {"name": tool, "arguments": arguments}
        call = {"index": index, "id": id, "type": "function", "function": function, **more}
        self.delta({"tool_calls": [call]}, tool + str(arguments), 10)

    def delta(self, delta: dict[str, Any], shown: str, tokens: int = 1) -> None:
        """Write a delta of any shape."""
        self.plan.parts.append(Part(self._chunk([_choice(delta)]), shown, tokens))

    def end(self, reason: str | None, **usage: Any) -> None:
        """Write the end, with the usage; without a reason the stream just stops."""
        self.plan.finish_reason = reason
        if reason is not None:
            self.plan.parts.append(Part(self._chunk([_choice({}, reason)])))
        if usage.get("usage", True) is not None:
            self.plan.parts.append(Part(self._chunk([], usage=self.counted(**usage))))
        self.plan.parts.append(Part(b"data: [DONE]\n\n"))

    def counted(self, **usage: Any) -> dict[str, Any]:
        """Return the usage so far, with other fields over it."""
        counts = {"prompt_tokens": self._prompt_tokens, "completion_tokens": self.plan.tokens}
        counts["total_tokens"] = sum(counts.values())
        return counts | usage

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": "chatcmpl-odd", "object": "chat.completion.chunk", "created": 1}
        body = {**head, "model": self._asked.model, "choices": choices, **more}
        return b"data: " + orjson.dumps(body) + b"\n\n"


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


class AnthropicSpeech:
    """Events of a message: the usage at its start says that one token was written."""

    def __init__(self, asked: Asked, prompt_tokens: int) -> None:
        self.plan = Plan()
        self._prompt_tokens = prompt_tokens
        self._block_count = 0
        self._is_open: str | None = None
        usage = {"input_tokens": prompt_tokens, "output_tokens": 1}
        message: dict[str, Any] = {"id": "msg_odd", "type": "message", "role": "assistant"}
        message |= {"content": [], "stop_sequence": None}
        message |= {"model": asked.model, "stop_reason": None, "usage": usage}
        self._event("message_start", message=message)

    def say(self, text: str, *, in_one: bool = False) -> None:
        """Write text, a word a piece."""
        self._open("text", {"type": "text", "text": ""})
        words = _WORD.findall(text)
        for piece in [text] if in_one else words:
            self._delta(piece, len(words) if in_one else 1, type="text_delta", text=piece)

    def think(self, text: str, signature: str | None = None) -> None:
        """Write visible reasoning, a word a piece."""
        self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        for word in _WORD.findall(text):
            self._delta(word, 1, type="thinking_delta", thinking=word)
        if signature:
            self._delta("", 0, type="signature_delta", signature=signature)

    def call(self, tool: str, arguments: Any, id: str = "", index: int = 0, **more: Any) -> None:
        """Ask for a tool, in one piece."""
        text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        block = {"type": "tool_use", "id": id or f"toolu_{index}", "name": tool, "input": {}}
        self._open(f"tool_use {index}", block | more)
        self._delta(tool + text, 10, type="input_json_delta", partial_json=text)

    def end(self, reason: str | None, **usage: Any) -> None:
        """Write the end, with the usage; without a reason the stream just stops."""
        self.plan.finish_reason = reason
        self._close()
        if reason is None:
            return
        counts = None
        if usage.get("usage", True) is not None:
            counts = {"output_tokens": self.plan.tokens, **usage}
        ended = {"stop_reason": reason, "stop_sequence": None}
        self._event("message_delta", delta=ended, usage=counts)
        self._event("message_stop")

    def _open(self, kind: str, block: dict[str, Any]) -> None:
        if self._is_open == kind:
            return
        self._close()
        self._event("content_block_start", index=self._block_count, content_block=block)
        self._is_open = kind

    def _close(self) -> None:
        if self._is_open is not None:
            self._event("content_block_stop", index=self._block_count)
            self._block_count += 1
            self._is_open = None

    def _delta(self, shown: str, tokens: int, **delta: Any) -> None:
        raw = _event("content_block_delta", index=self._block_count, delta=delta)
        self.plan.parts.append(Part(raw, shown, tokens))

    def _event(self, kind: str, **fields: Any) -> None:
        self.plan.parts.append(Part(_event(kind, **fields), pause=0))


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
