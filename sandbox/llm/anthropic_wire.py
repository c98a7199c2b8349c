"""Anthropic's messages: requests read, answers written."""

from typing import Any

import orjson

from sandbox.llm.conversation import Asked, BadRequestError, Step, Tool, Turn, Usage
from sandbox.llm.shapes import call_id, joined_calls, joined_text, limit, parts_text, required

PATH = "/v1/messages"
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_CHOICES = {"any": "required", "none": "none", "auto": "auto"}
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read(body: dict[str, Any]) -> Asked:
    """Understand a request.

    Raises:
        BadRequestError: Something is missing or of the wrong kind.
    """
    turns = [turn for message in required(body, "messages", list) for turn in _turns(message)]
    if not turns:
        raise BadRequestError("messages: at least one is needed")
    if body.get("system"):
        turns.insert(0, Turn("system", parts_text(body["system"])))
    required(body, "max_tokens", int)
    choice = body.get("tool_choice") or {"type": "auto"}
    wanted = (body.get("output_config") or {}).get("format") or {}
    return Asked(
        model=required(body, "model", str),
        turns=tuple(turns),
        tools=tuple(_tool(tool) for tool in body.get("tools") or ()),
        is_stream=bool(body.get("stream")),
        max_tokens=limit(body, "max_tokens"),
        schema=wanted.get("schema"),
        tool_choice=_CHOICES.get(choice["type"]) or choice["name"],
        includes_usage=True,
    )


def _turns(message: dict[str, Any]) -> list[Turn]:
    """Return a message as turns: each result of a tool is one of its own."""
    role, content = required(message, "role", str), message.get("content")
    if not isinstance(content, list):
        return [Turn(role, content or "")]
    results = [
        Turn("tool", parts_text(part.get("content")))
        for part in content
        if part["type"] == "tool_result"
    ]
    arguments = tuple(
        orjson.dumps(part["input"]).decode() for part in content if part["type"] == "tool_use"
    )
    text = parts_text(content)
    return [*results, Turn(role, text, arguments)] if text or arguments else results


def _tool(tool: dict[str, Any]) -> Tool:
    name = required(tool, "name", str)
    return Tool(name, tool.get("description") or "", tool.get("input_schema") or {})


class Writer:
    """Writes one answer in Anthropic's words."""

    request_id_header = "request-id"

    def __init__(self, seq: int, asked: Asked) -> None:
        self._seq = seq
        self._asked = asked
        self._block_count = 0

    def opening(self, usage: Usage) -> list[bytes]:
        """Return what a stream begins with."""
        return [_event("message_start", message=self._message([], None, usage))]

    def step(self, step: Step) -> list[bytes]:
        """Return one token, in a block of its own if it is the first of one."""
        if step.head is not None:
            return [*self._block_end(), self._block_start(self._tool_use(step, {}))]
        if step.index is not None:
            return [self._delta(type="input_json_delta", partial_json=step.piece)]
        starts = []
        if self._block_count == 0:
            starts.append(self._block_start({"type": "text", "text": "", "citations": None}))
        return [*starts, self._delta(type="text_delta", text=step.piece)]

    def closing(self, finish_reason: str | None, usage: Usage) -> list[bytes]:
        """Return what a stream ends with; without a finish reason it just ends."""
        if finish_reason is None:
            return []
        delta = {"stop_reason": _STOP_REASONS[finish_reason], "stop_sequence": None}
        spent = {"output_tokens": usage.completion_tokens}
        return [
            *self._block_end(),
            _event("message_delta", delta=delta, usage=spent),
            _event("message_stop"),
        ]

    def whole(self, steps: list[Step], finish_reason: str | None, usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""
        blocks: list[dict[str, Any]] = []
        if text := joined_text(steps):
            blocks.append({"type": "text", "text": text, "citations": None})
        for step, arguments in joined_calls(steps):
            blocks.append(self._tool_use(step, _input(arguments)))
        reason = _STOP_REASONS[finish_reason] if finish_reason is not None else None
        return self._message(blocks, reason, usage)

    def _message(
        self, blocks: list[dict[str, Any]], stop_reason: str | None, usage: Usage
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._seq:08d}",
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": blocks,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.completion_tokens,
            },
        }

    def _tool_use(self, step: Step, given: dict[str, Any]) -> dict[str, Any]:
        name = step.head.name if step.head else ""
        return {
            "type": "tool_use",
            "id": call_id("toolu", self._seq, step),
            "name": name,
            "input": given,
        }

    def _block_start(self, block: dict[str, Any]) -> bytes:
        self._block_count += 1
        return _event("content_block_start", index=self._block_count - 1, content_block=block)

    def _block_end(self) -> list[bytes]:
        if self._block_count == 0:
            return []
        return [_event("content_block_stop", index=self._block_count - 1)]

    def _delta(self, **delta: str) -> bytes:
        return _event("content_block_delta", index=self._block_count - 1, delta=delta)


def model(name: str) -> dict[str, Any]:
    """Return what is known of a model."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error in Anthropic's shape."""
    usual = "api_error" if status >= 500 else "invalid_request_error"
    kind = code or _ERROR_TYPES.get(status, usual)
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **fields}))


def _input(arguments: str) -> dict[str, Any]:
    # Reason: where the provider parses them, malformed arguments cannot be shown.
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}
