"""Reads token limits from the messages of providers that refuse a request for its size."""

import re

_NUMBER = r"(\d[\d,_]*)"
# Each pattern finds the context window, or the limit of the prompt.
_WINDOW = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"tokens > {_NUMBER} maximum",  # Anthropic
        rf"exceed context limit: [\d +]+ > {_NUMBER}",  # Anthropic, with max_tokens
        rf"maximum (?:context|prompt|model) length (?:is|of) {_NUMBER}",  # OpenAI, vLLM, xAI
        rf"for model with {_NUMBER} maximum context length",  # Mistral
        rf"n_ctx\W+{_NUMBER}",  # llama.cpp
        rf"available context size \({_NUMBER} tokens",  # llama.cpp
        rf"maximum number of tokens(?: allowed)? \({_NUMBER}\)",  # Gemini
        rf"(?:configured limit|context window|context length|context limit) of {_NUMBER}",
        rf"`max_new_tokens` must be <= {_NUMBER}",  # TGI
    )
)
_OUTPUT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"supports at most {_NUMBER} (?:completion|output) tokens",  # OpenAI
        rf"max_tokens: \d+ > {_NUMBER}, which is the maximum allowed number of output",  # Anthropic
        rf"range of max_tokens is \[1, ?{_NUMBER}\]",  # DeepSeek, Qwen
        rf"max_(?:completion_)?tokens`? must be less than or equal to `?{_NUMBER}",  # Groq
    )
)
_RATE = re.compile(rf"Limit:? {_NUMBER}.{{0,80}}?Requested:? {_NUMBER}", re.IGNORECASE | re.DOTALL)
_TOO_LARGE = re.compile(r"request (?:is )?too large", re.IGNORECASE)
_PER_MINUTE = re.compile(r"tokens per min|per[- ]minute|\bTPM\b|\bITPM\b", re.IGNORECASE)


def find_window(words: str) -> int | None:
    """Return how many tokens a model can read; None if the message does not say so."""
    return _first(_WINDOW, words)


def find_output_limit(words: str) -> int | None:
    """Return how many tokens a model can write; None if the message does not say so."""
    return _first(_OUTPUT, words)


def is_above_rate(status: int | None, words: str) -> bool:
    """Tell whether a request exceeds the limit of tokens per minute, so that no wait helps.

    Args:
        status: HTTP status of the refusal.
        words: Message of the provider.
    """
    if status != 429 and not _PER_MINUTE.search(words):
        return False
    numbers = _RATE.search(words)
    is_larger = numbers is not None and _count(numbers[2]) > _count(numbers[1])
    return is_larger or _TOO_LARGE.search(words) is not None


def find_rate(words: str) -> int | None:
    """Return the limit of tokens per minute; None if the message does not say so."""
    numbers = _RATE.search(words)
    return _count(numbers[1]) if numbers else None


def _first(patterns: tuple[re.Pattern[str], ...], words: str) -> int | None:
    found = next((match for each in patterns if (match := each.search(words))), None)
    return _count(found[1]) if found else None


def _count(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))
