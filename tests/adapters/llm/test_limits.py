"""Limits in the words of real providers, and keys that stay out of the log."""

import pytest

from adapters.llm.errors import ProviderFault, translated
from adapters.llm.limits import find_output_limit, find_window, is_above_rate
from adapters.llm.provider import Progress


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 9000.", 8192),
        ("This endpoint's maximum context length is 128,000 tokens.", 128_000),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200_000),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", 200_000),
        ("40000 tokens, too large for model with 32768 maximum context length", 32_768),
        ("{'type': 'exceed_context_size_error', 'n_prompt_tokens': 9, 'n_ctx': 4096}", 4_096),
        ("the request exceeds the available context size (4096 tokens), try", 4_096),
        ("The input token count (12) exceeds the maximum number of tokens allowed (10).", 10),
        ("This model's maximum prompt length is 131072 but the request contains 140000", 131_072),
        ("Input tokens exceed the configured limit of 272000 tokens.", 272_000),
        ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000", 4_096),
        ("something else with 12 tokens", None),
    ],
)
def test_a_window_is_read_from_words(words: str, limit: int | None) -> None:
    assert find_window(words) == limit
    error = translated(ProviderFault(400, words), "m", Progress())
    is_long = error.error_code == "model_context_too_long"
    assert is_long == (limit is not None)
    assert error.details.get("limit_tokens") == limit


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("max_tokens is too large: 9. This model supports at most 4096 completion tokens", 4_096),
        ("max_tokens: 64000 > 32000, which is the maximum allowed number of output", 32_000),
        ("Range of max_tokens is [1, 8192]", 8_192),
        ("max_tokens: too small", None),
    ],
)
def test_the_most_that_is_written_is_read_from_words(words: str, limit: int | None) -> None:
    assert find_output_limit(words) == limit


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (429, "Request too large for gpt-4.1 on tokens per min (TPM): Limit 9, Requested 10", True),
        (413, "Request too large on tokens per minute (TPM): Limit 6000, Requested 7000", True),
        (429, "Rate limit reached on TPM: Limit 30000, Requested 36000.", True),
        (429, "Rate limit reached on TPM: Limit 30000, Used 29000, Requested 2000.", False),
        (413, "Request too large", False),
        (429, "slow down", False),
    ],
)
def test_only_a_request_above_the_limit_is_hopeless(status: int, words: str, code: str) -> None:
    assert is_above_rate(status, words) == bool(code)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdef0123456789",
        "sk-ant-api03-abcdefgh",
        "gsk_abcdefghijkl",
        "AIzaSyAbcdefghijklmnop",
        "Bearer abcdef.ghijkl",
        "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6",
    ],
)
def test_no_key_and_no_long_text_is_logged(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"Incorrect API key provided: {key}. " + "word " * 400
    error = translated(ProviderFault(401, words), "m", Progress())
    # Reason: workers of other tests in this process print lines of their own meanwhile.
    printed = capsys.readouterr().out.splitlines()
    (logged,) = [line for line in printed if "Incorrect API key provided" in line]
    assert key.removeprefix("Bearer ") not in logged
    assert len(logged) < 900
    assert "Incorrect" not in f"{error} {error.details}"
