"""OpenAI's chat completions: requests read, answers written."""

import time
from typing import Any

import orjson

from sandbox.llm.conversation import Asked, BadRequestError, Step, Tool, Turn, Usage
from sandbox.llm.shapes import call_id, joined_calls, joined_text, limit, parts_text, required

PATH = "/v1/chat/completions"
_ROLES = {"developer": "system", "function": "tool"}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_ERROR_CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}


def read(body: dict[str, Any]) -> Asked:
    """Understand a request.

    Raises:
        BadRequestError: Something is missing or of the wrong kind.
    """
    turns = tuple(_turn(message) for message in required(body, "messages", list))
    if not turns:
        raise BadRequestError("messages: at least one is needed")
    choice = body.get("tool_choice") or "auto"
    return Asked(
        model=required(body, "model", str),
        turns=turns,
        tools=tuple(_tool(tool) for tool in body.get("tools") or ()),
        is_stream=bool(body.get("stream")),
        max_tokens=limit(body, "max_completion_tokens", "max_tokens"),
        schema=_schema(body.get("response_format")),
        tool_choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        includes_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _turn(message: dict[str, Any]) -> Turn:
    role = required(message, "role", str)
    arguments = tuple(call["function"]["arguments"] for call in message.get("tool_calls") or ())
    return Turn(_ROLES.get(role, role), parts_text(message.get("content")), arguments)


def _tool(tool: dict[str, Any]) -> Tool:
    function = required(tool, "function", dict)
    name = required(function, "name", str)
    return Tool(name, function.get("description") or "", function.get("parameters") or {})


def _schema(wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case {"type": "json_object"}:
            return {}
    return None


class Writer:
    """Writes one answer in OpenAI's words."""

    request_id_header = "x-request-id"

    def __init__(self, seq: int, asked: Asked) -> None:
        self._id = f"chatcmpl-{seq:08d}"
        self._seq = seq
        self._asked = asked
        self._created_at = int(time.time())

    def opening(self, _usage: Usage) -> list[bytes]:
        """Return what a stream begins with."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def step(self, step: Step) -> list[bytes]:
        """Return one token."""
        if step.index is None:
            return [self._chunk({"content": step.piece})]
        call: dict[str, Any] = {"index": step.index}
        if step.head is None:
            call["function"] = {"arguments": step.piece}
        else:
            call |= {"id": call_id("call", self._seq, step), "type": "function"}
            call["function"] = {"name": step.head.name, "arguments": ""}
        return [self._chunk({"tool_calls": [call]})]

    def closing(self, finish_reason: str | None, usage: Usage) -> list[bytes]:
        """Return what a stream ends with; without a finish reason it just ends."""
        events = []
        if finish_reason is not None:
            events.append(self._chunk({}, finish_reason))
            if self._asked.includes_usage:
                events.append(self._event({**self._head(), "usage": _usage(usage), "choices": []}))
        return [*events, b"data: [DONE]\n\n"]

    def whole(self, steps: list[Step], finish_reason: str | None, usage: Usage) -> dict[str, Any]:
        """Return the answer in one piece."""
        calls = [
            {
                "id": call_id("call", self._seq, step),
                "type": "function",
                "function": {"name": step.head.name, "arguments": arguments},
            }
            for step, arguments in joined_calls(steps)
            if step.head is not None
        ]
        message: dict[str, Any] = {"role": "assistant", "content": joined_text(steps) or None}
        message["refusal"] = None
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        head = self._head() | {"object": "chat.completion"}
        return {**head, "choices": [choice], "usage": _usage(usage)}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._asked.includes_usage else {}
        return self._event({**self._head(), "choices": [choice], **usage})

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created_at,
            "model": self._asked.model,
            "system_fingerprint": "fp_sandbox",
        }

    @staticmethod
    def _event(value: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps(value) + b"\n\n"


def model(name: str) -> dict[str, Any]:
    """Return what is known of a model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "sandbox"}


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = code or _ERROR_CODES.get(status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
