"""Oddities of real model servers, each under a name that a script can order.

A behaviour looks at one request, and says how it is answered: with a plan of what is written, with
a refusal, or with nothing, which leaves the request to the usual rules.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.llm import instances, strict
from sandbox.llm.conversation import Asked, Refusal
from sandbox.llm.speech import AnthropicSpeech, OpenAISpeech, Part, Plan

ANSWER = "Forty-two."
DONE = "Done."
THOUGHT = "I should search."
SIGNATURE = "c2lnbmF0dXJl"
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_SILENT_TOKENS = 200


@dataclass(frozen=True)
class Case:
    """A request that is answered oddly.

    Args:
        asked: The request, in words that belong to no provider.
        body: The request as it came.
        is_anthropic: Whose words it speaks.
        prompt_tokens: What its prompt counts.
        window: How many tokens the model reads.
    """

    asked: Asked
    body: dict[str, Any]
    is_anthropic: bool
    prompt_tokens: int
    window: int

    def speech(self) -> OpenAISpeech | AnthropicSpeech:
        """Begin an answer."""
        kind = AnthropicSpeech if self.is_anthropic else OpenAISpeech
        return kind(self.asked, self.prompt_tokens)

    @property
    def has_result(self) -> bool:
        """Whether a tool's result is what was said last."""
        return self.asked.turns[-1].role == "tool"

    @property
    def stop(self) -> str:
        """The finish reason of an answer."""
        return "end_turn" if self.is_anthropic else "stop"

    @property
    def calls(self) -> str:
        """The finish reason of an answer that asks for tools."""
        return "tool_use" if self.is_anthropic else "tool_calls"

    @property
    def cut(self) -> str:
        """The finish reason of an answer that a limit has cut."""
        return "max_tokens" if self.is_anthropic else "length"

    def wish(self) -> tuple[str, dict[str, Any]]:
        """Return the first tool on offer, and arguments for it."""
        if not self.asked.tools:
            return "search_memory", {"query": "anything"}
        tool = self.asked.tools[0]
        return tool.name, instances.smallest(tool.parameters) | _query(tool.parameters)


Behaviour = Callable[[Case], Plan | Refusal | None]
_ALL: dict[str, Behaviour] = {}


def behaviour(name: str) -> Callable[[Behaviour], Behaviour]:
    """Enter a function under a name."""

    def enter(found: Behaviour) -> Behaviour:
        _ALL[name] = found
        return found

    return enter


def find(name: str) -> Behaviour:
    """Return the behaviour of this name."""
    return _ALL[name]


def _query(schema: dict[str, Any]) -> dict[str, Any]:
    return {"query": "anything"} if "query" in (schema.get("properties") or {}) else {}


def _answer(case: Case, text: str = ANSWER) -> Plan:
    speech = case.speech()
    speech.say(text)
    speech.end(case.stop)
    return speech.plan


def _call(case: Case, id: str = "", **more: Any) -> Plan:
    if case.has_result:
        return _answer(case, DONE)
    tool, arguments = case.wish()
    speech = case.speech()
    speech.call(tool, orjson.dumps(arguments).decode(), id or "call_1", **more)
    speech.end(case.calls)
    return speech.plan


# -- odd streams ---------------------------------------------------------------------------------


@behaviour("list_content")
def list_content(case: Case) -> Plan:
    """Magistral: thinking and text as a list of parts."""
    speech = OpenAISpeech(case.asked, case.prompt_tokens)
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]}
    speech.delta({"content": [thought]}, "Let me think.", 3)
    speech.delta({"content": [{"type": "text", "text": "Forty-"}]}, "Forty-")
    speech.delta({"content": "two."}, "two.")
    speech.end("stop")
    return speech.plan


@behaviour("object_arguments")
def object_arguments(case: Case) -> Plan:
    """TGI, bridges to Ollama: a call's arguments as an object instead of JSON text."""
    if case.has_result or case.is_anthropic:
        return _call(case)
    tool, arguments = case.wish()
    speech = case.speech()
    speech.call(tool, arguments, "call_1")
    speech.end(case.calls)
    return speech.plan


@behaviour("null_arguments")
def null_arguments(case: Case) -> Plan:
    """A call whose arguments are null."""
    if case.has_result or case.is_anthropic:
        return _call(case)
    speech = case.speech()
    speech.call(case.wish()[0], None, "call_1")
    speech.end(case.calls)
    return speech.plan


@behaviour("zero_index_calls")
def zero_index_calls(case: Case) -> Plan:
    """Parallel calls that all have the index 0 and no id."""
    if case.has_result:
        return _answer(case, DONE)
    tool, arguments = case.wish()
    speech = case.speech()
    for number in range(2):
        text = orjson.dumps(arguments).decode()
        speech.call(tool, text, index=number if case.is_anthropic else 0)
    speech.end(case.calls)
    return speech.plan


@behaviour("no_finish")
def no_finish(case: Case) -> Plan:
    """A proxy that loses the last chunk."""
    speech = case.speech()
    speech.say("word " * 20)
    speech.end(None)
    return speech.plan


@behaviour("odd_finish")
def odd_finish(case: Case) -> Plan:
    """A finish reason that nobody knows; at Anthropic the one of a pause."""
    speech = case.speech()
    speech.say(ANSWER)
    speech.end("pause_turn" if case.is_anthropic else "abort")
    return speech.plan


@behaviour("model_length")
def model_length(case: Case) -> Plan:
    """Mistral: the model's own length was reached."""
    speech = case.speech()
    speech.say("Half an")
    speech.end("model_context_window_exceeded" if case.is_anthropic else "model_length")
    return speech.plan


@behaviour("one_chunk_no_usage")
def one_chunk_no_usage(case: Case) -> Plan:
    """800 words in one piece, and no usage."""
    speech = case.speech()
    speech.say("word " * 800, in_one=True)
    speech.end(case.stop, usage=None)
    return speech.plan


@behaviour("call_without_usage")
def call_without_usage(case: Case) -> Plan:
    """A tool call, and no usage."""
    if case.has_result:
        return _answer(case, DONE)
    tool, arguments = case.wish()
    speech = case.speech()
    speech.call(tool, orjson.dumps(arguments).decode(), "call_1")
    speech.end(case.calls, usage=None)
    return speech.plan


@behaviour("running_usage")
def running_usage(case: Case) -> Plan:
    """VLLM's continuous usage: each chunk counts what there is so far; then it breaks off."""
    speech = case.speech()
    for number, word in enumerate(("One ", "two ", "three "), 1):
        speech.say(word)
        if isinstance(speech, OpenAISpeech):
            choice = {"index": 0, "delta": {}, "finish_reason": None}
            counts = {"prompt_tokens": case.prompt_tokens, "completion_tokens": number}
            raw = orjson.dumps({"choices": [choice], "usage": counts})
            speech.plan.parts.append(Part(b"data: " + raw + b"\n\n"))
    speech.plan.is_cut = True
    return speech.plan


@behaviour("xai_totals")
def xai_totals(case: Case) -> Plan:
    """xAI: reasoning is counted beside the completion, and only the total has both."""
    speech = case.speech()
    speech.say(ANSWER)
    if case.is_anthropic:
        speech.end(case.stop)
        return speech.plan
    speech.plan.parts.append(Part(b": reasoning\n\n", tokens=500))
    counts = {"completion_tokens": 1, "total_tokens": case.prompt_tokens + 501}
    speech.end(case.stop, **counts, completion_tokens_details={"reasoning_tokens": 500})
    return speech.plan


@behaviour("cached_prompt")
def cached_prompt(case: Case) -> Plan:
    """Most of the prompt comes from a cache."""
    speech = case.speech()
    speech.say(ANSWER)
    cached = case.prompt_tokens // 2
    if case.is_anthropic:
        rest = case.prompt_tokens - cached
        speech.end(case.stop, input_tokens=rest, cache_read_input_tokens=cached)
    else:
        speech.end(case.stop, prompt_tokens_details={"cached_tokens": cached})
    return speech.plan


@behaviour("whole_json")
def whole_json(case: Case) -> Plan:
    """`stream` is ignored: the answer comes as one JSON body."""
    if case.is_anthropic:
        body: dict[str, Any] = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": ANSWER}],
            "stop_reason": case.stop,
            "usage": {"input_tokens": case.prompt_tokens, "output_tokens": 1},
        }
    else:
        message = {"role": "assistant", "content": ANSWER}
        choice = {"index": 0, "message": message, "finish_reason": case.stop}
        counts = {"prompt_tokens": case.prompt_tokens, "completion_tokens": 1}
        body = {"object": "chat.completion", "choices": [choice], "usage": counts}
    part = Part(orjson.dumps(body), ANSWER, 1)
    return Plan([part], content_type="application/json", finish_reason=case.stop)


@behaviour("html_page")
def html_page(_case: Case) -> Plan:
    """A proxy's page, as a success."""
    page = b"<html><body>Please log in: <a href='/'>here</a></body></html>"
    return Plan([Part(page)], content_type="text/html", prompt_tokens=0)


@behaviour("broken")
def broken(case: Case) -> Plan:
    """The connection breaks in the middle of the answer."""
    speech = case.speech()
    speech.say("word " * 20)
    speech.plan.is_cut = True
    return speech.plan


# -- slow ones -----------------------------------------------------------------------------------


@behaviour("slow")
def slow(case: Case) -> Plan:
    """A healthy answer of sixty words, ten times as slow as usual."""
    plan = _answer(case, "word " * 60)
    return Plan(
        [Part(part.raw, part.shown, part.tokens, part.pause * 10) for part in plan.parts],
        finish_reason=plan.finish_reason,
    )


@behaviour("endless")
def endless(case: Case) -> Plan:
    """An answer that goes on for 100,000 words."""
    speech = case.speech()
    speech.say("word " * 100_000)
    speech.end(case.stop)
    return speech.plan


@behaviour("slow_reasoning")
def slow_reasoning(case: Case) -> Plan:
    """Visible reasoning, 600 words of it, before the answer."""
    speech = case.speech()
    speech.think("think " * 600)
    speech.say(ANSWER)
    speech.end(case.stop)
    return speech.plan


@behaviour("hidden_reasoning")
def hidden_reasoning(case: Case) -> Plan:
    """Reasoning that nobody sees: the stream is open and silent while tokens are billed."""
    speech = case.speech()
    silent = [Part(b"", tokens=1, pause=10) for _ in range(_SILENT_TOKENS)]
    speech.plan.parts += silent
    speech.say(ANSWER)
    speech.end(case.stop)
    return speech.plan


# -- ends that are no answers --------------------------------------------------------------------


@behaviour("cut_call")
def cut_call(case: Case) -> Plan:
    """The limit ends the answer within a tool call."""
    speech = case.speech()
    tool, arguments = case.wish()
    speech.say("I have asked for that. ")
    speech.call(tool, orjson.dumps(arguments).decode()[:-3], "call_1")
    speech.end(case.cut)
    return speech.plan


@behaviour("empty")
def empty(case: Case) -> Plan:
    """An end without a word."""
    speech = case.speech()
    speech.end(case.stop)
    return speech.plan


@behaviour("empty_after_tool")
def empty_after_tool(case: Case) -> Plan:
    """A preface and a call; after the tool's result an end without a word; then an answer."""
    if case.has_result:
        speech = case.speech()
        speech.end(case.stop)
        return speech.plan
    if any(turn.role == "tool" for turn in case.asked.turns):
        return _answer(case)
    speech = case.speech()
    tool, arguments = case.wish()
    speech.say("Let me look that up for you.")
    speech.call(tool, orjson.dumps(arguments).decode(), "call_1")
    speech.end(case.calls)
    return speech.plan


@behaviour("filtered")
def filtered(case: Case) -> Plan:
    """A filter ends the answer after half a sentence."""
    speech = case.speech()
    speech.say("The answer to that is")
    speech.end("refusal" if case.is_anthropic else "content_filter")
    return speech.plan


@behaviour("refused")
def refused(case: Case) -> Plan:
    """The model refuses."""
    speech = case.speech()
    if isinstance(speech, OpenAISpeech):
        speech.delta({"refusal": "I will not."}, "I will not.")
        speech.end("stop")
    else:
        speech.say("I will not.")
        speech.end("refusal")
    return speech.plan


@behaviour("call_as_text")
def call_as_text(case: Case) -> Plan:
    """A server that does not recognise its model's tool calls: they come as text."""
    if case.has_result:
        return _answer(case, DONE)
    tool, arguments = case.wish()
    text = orjson.dumps({"name": tool, "arguments": arguments}).decode()
    return _answer(case, f"<tool_call>\n{text}\n</tool_call>")


# -- what a server wants back --------------------------------------------------------------------


@behaviour("nine_letter_ids")
def nine_letter_ids(case: Case) -> Plan | Refusal:
    """Mistral: the ids of tool calls have nine letters or digits."""
    messages = case.body["messages"]
    ids = [call["id"] for each in messages for call in each.get("tool_calls") or ()]
    ids += [each["tool_call_id"] for each in messages if each.get("tool_call_id")]
    if wrong := [each for each in ids if not _NINE.fullmatch(each)]:
        rule = "must be a-z, A-Z, 0-9, with a length of 9."
        return Refusal(400, f"Tool call id was {wrong[0]} but {rule}", is_flat=True)
    return _call(case, "abcDEF123")


@behaviour("wants_reasoning_back")
def wants_reasoning_back(case: Case) -> Plan | Refusal:
    """DeepSeek, Kimi: reasoning has to come back with its tool call."""
    for message in case.body["messages"]:
        if message.get("tool_calls") and message.get("reasoning_content") != THOUGHT:
            return Refusal(400, "Missing `reasoning_content` field in the assistant message.")
    return _thoughtful(case)


@behaviour("wants_signature_back")
def wants_signature_back(case: Case) -> Plan | Refusal:
    """Gemini's thought signatures, Anthropic's blocks of thinking: as given, beside the call."""
    for message in case.body["messages"]:
        for call in message.get("tool_calls") or ():
            if call.get("extra_content") != _signed():
                return Refusal(400, "Function call is missing a thought_signature in its parts.")
        blocks = message["content"] if isinstance(message["content"], list) else []
        if any(block["type"] == "tool_use" for block in blocks):
            first = blocks[0]
            if (first.get("thinking"), first.get("signature")) != (THOUGHT, SIGNATURE):
                return Refusal(400, "Expected `thinking` or `redacted_thinking`, but found another")
    return _thoughtful(case) if case.is_anthropic else _call(case, extra_content=_signed())


def _signed() -> dict[str, Any]:
    return {"google": {"thought_signature": SIGNATURE}}


def _thoughtful(case: Case) -> Plan:
    if case.has_result:
        return _answer(case, DONE)
    tool, arguments = case.wish()
    speech = case.speech()
    speech.think(THOUGHT, SIGNATURE)
    speech.call(tool, orjson.dumps(arguments).decode(), "call_1")
    speech.end(case.calls)
    return speech.plan


# -- what a server refuses -----------------------------------------------------------------------


@behaviour("no_max_tokens")
def no_max_tokens(case: Case) -> Plan | Refusal:
    """A gateway before a reasoning model takes only the other name of the limit."""
    if "max_tokens" in case.body and not case.is_anthropic:
        text = "Unsupported parameter: 'max_tokens' is not supported with this model. "
        text += "Use 'max_completion_tokens' instead."
        return Refusal(400, text, "unsupported_parameter", "max_tokens")
    return _answer(case)


@behaviour("no_limits")
def no_limits(case: Case) -> Plan | Refusal:
    """A gateway takes no limit of what is written, whatever its name."""
    for name in ("max_tokens", "max_completion_tokens"):
        if name in case.body:
            return Refusal(400, f"Unsupported parameter: {name}", "unsupported_parameter", name)
    return _answer(case)


@behaviour("small_output")
def small_output(case: Case) -> Plan | Refusal:
    """A model writes less than the limit allows, and says how much."""
    limit = case.asked.max_tokens or 0
    if limit <= 64:
        return _answer(case)
    if case.is_anthropic:
        words = f"max_tokens: {limit} > 64, which is the maximum allowed number of output tokens"
    else:
        words = f"max_tokens is too large: {limit}. This model supports at most 64 completion "
        words += f"tokens, whereas you provided {limit}."
    return Refusal(400, words, None, "max_tokens")


@behaviour("no_temperature")
def no_temperature(case: Case) -> Plan | Refusal:
    """A gateway passes on the words of a refusal alone, without `param`."""
    if "temperature" in case.body:
        text = "Unsupported value: 'temperature' does not support 0.0 with this model. "
        return Refusal(400, text + "Only the default (1) value is supported.")
    return _answer(case)


@behaviour("no_output_schema")
def no_output_schema(case: Case) -> Plan | Refusal:
    """A server that knows no schemas of answers."""
    if case.asked.schema is not None:
        return Refusal(400, "This response_format type is unavailable now")
    return _answer(case)


@behaviour("no_stream_options")
def no_stream_options(case: Case) -> Plan | Refusal:
    """A server that forbids fields that it does not know."""
    if "stream_options" in case.body:
        return Refusal(422, "body.stream_options: Extra inputs are not permitted", is_flat=True)
    return _answer(case)


@behaviour("no_schema_format")
def no_schema_format(case: Case) -> Plan | Refusal:
    """Gemini: the format of a text in a tool's schema is unknown."""
    if '"format":"' in orjson.dumps(case.body.get("tools") or []).decode():
        text = "Invalid value at 'tools[0].function_declarations[0].parameters': only 'enum' and "
        return Refusal(400, text + "'date-time' are supported for the format of STRING type")
    return _answer(case)


@behaviour("no_tools")
def no_tools(case: Case) -> Plan | Refusal:
    """VLLM without the flags for tools."""
    if case.body.get("tools"):
        text = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'
        return Refusal(400, f"{text} to be set", is_flat=True)
    return _answer(case)


@behaviour("too_large")
def too_large(case: Case) -> Refusal:
    """A request above the tokens per minute: a 429 that no waiting heals."""
    if case.is_anthropic:
        return Refusal(429, "Request too large: it exceeds your input tokens per minute limit.")
    text = "Request too large for gpt-4.1 in organization org-odd on tokens per min (TPM): "
    return Refusal(429, f"{text}Limit 30000, Requested 36000.", "rate_limit_exceeded")


@behaviour("small_window")
def small_window(case: Case) -> Plan | Refusal:
    """A window smaller than the catalogue's: said in words alone."""
    if case.prompt_tokens <= case.window:
        return _answer(case)
    if case.is_anthropic:
        text = f"prompt is too long: {case.prompt_tokens} tokens > {case.window} maximum"
        return Refusal(400, text)
    text = f"This model's maximum context length is {case.window} tokens. However, your messages "
    return Refusal(400, f"{text}resulted in {case.prompt_tokens} tokens.", is_flat=True)


@behaviour("alternating")
def alternating(case: Case) -> Refusal | None:
    """Mistral, Gemma's template: user and assistant take turns."""
    return _held(case, strict.order_of_roles)


@behaviour("no_prefill")
def no_prefill(case: Case) -> Refusal | None:
    """Claude 4.6 and later, Mistral: a request does not end with the assistant."""
    return _held(case, strict.last_role)


@behaviour("no_user_after_tool")
def no_user_after_tool(case: Case) -> Refusal | None:
    """Mistral: after a tool only the assistant speaks."""
    return _held(case, strict.user_after_tool)


@behaviour("strict")
def strictly(case: Case) -> Refusal | None:
    """All of a strict server's rules: turns, pairs, no prefill, nothing empty."""
    return _held(case, strict.problem)


@behaviour("batch_fails")
def batch_fails(_case: Case) -> None:
    """A batch that fails as a whole, before any request is made; see `batches.py`."""


@behaviour("batch_expires")
def batch_expires(_case: Case) -> None:
    """A batch whose window ends before its requests are made."""


@behaviour("batch_error_line")
def batch_error_line(_case: Case) -> None:
    """A batch that completes with an error for the request."""


@behaviour("batch_answer_lost")
def batch_answer_lost(_case: Case) -> None:
    """A batch that is created, and whoever created it gets no answer."""


@behaviour("batch_slow")
def batch_slow(_case: Case) -> None:
    """A batch that takes its time."""


def _held(case: Case, rule: Callable[[dict[str, Any]], str | None]) -> Refusal | None:
    words = rule(case.body)
    return None if words is None else Refusal(400, words)


NAMES = frozenset(_ALL)
