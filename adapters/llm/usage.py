"""Reads the token usage that providers report, in our own classes of tokens."""

from typing import Any, NamedTuple

from adapters.llm.reading import Json, a_count, an_object, count_of
from domain.llm.messages import TokenUsage


class Reported(NamedTuple):
    """Usage of a call, as reported by its provider.

    Args:
        usage: Usage in our own classes of tokens.
        is_whole: Whether the report counts both prompt and completion.
    """

    usage: TokenUsage
    is_whole: bool


def read_openai(found: Any) -> Reported | None:
    """Read the usage of a chat completion.

    Args:
        found: Value of `usage`, of any type.

    Returns:
        Reported usage; None if the value contains no counts.
    """
    report = an_object(found)
    prompt = a_count(report.get("prompt_tokens"))
    completion = a_count(report.get("completion_tokens"))
    total = a_count(report.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    reasoning = count_of(an_object(report.get("completion_tokens_details")).get("reasoning_tokens"))
    read, written = prompt or 0, completion or 0
    # Reason: xAI counts reasoning apart from the completion; the total or the sizes show this.
    if reasoning > written:
        written += reasoning
    written = max(written, (total or 0) - read)
    cached = min(_cached(report), read)
    stored = count_of(an_object(report.get("prompt_tokens_details")).get("cache_write_tokens"))
    usage = TokenUsage(
        prompt_tokens=read,
        completion_tokens=written,
        cached_prompt_tokens=cached,
        cache_write_tokens=min(stored, read - cached),
        reasoning_tokens=min(reasoning, written),
    )
    return Reported(usage, prompt is not None and completion is not None)


def _cached(report: Json) -> int:
    details = an_object(report.get("prompt_tokens_details"))
    # Reason: DeepSeek and Moonshot each have a field of their own.
    names = (
        details.get("cached_tokens"),
        report.get("prompt_cache_hit_tokens"),
        report.get("cached_tokens"),
    )
    return max(map(count_of, names))


def read_anthropic(found: Any, known: TokenUsage | None) -> TokenUsage:
    """Read the usage of an event, which is cumulative; missing counts keep their values.

    Args:
        found: Value of `usage`, of any type.
        known: Usage of earlier events.
    """
    report, known = an_object(found), known or TokenUsage()
    cached = count_of(report.get("cache_read_input_tokens"))
    written = count_of(report.get("cache_creation_input_tokens"))
    details = an_object(report.get("output_tokens_details"))
    thinking = count_of(details.get("thinking_tokens") or details.get("reasoning_tokens"))
    return TokenUsage(
        prompt_tokens=max(
            known.prompt_tokens, count_of(report.get("input_tokens")) + cached + written
        ),
        completion_tokens=max(known.completion_tokens, count_of(report.get("output_tokens"))),
        cached_prompt_tokens=max(known.cached_prompt_tokens, cached),
        cache_write_tokens=max(known.cache_write_tokens, written),
        reasoning_tokens=max(known.reasoning_tokens, thinking),
    )
