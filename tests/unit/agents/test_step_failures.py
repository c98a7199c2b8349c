"""How often a step is tried again, and what the run is told."""

import pytest

from agents.registry import find_agent
from domain.agents.runs import RunFinish
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import FinishReason, ModelReply
from services.agents.model_calls.failures import (
    CIRCUIT_OPEN,
    NO_ANSWER,
    check_answer,
    failure_of,
    finish_of,
)
from services.agents.model_calls.windows import LEARNED_FOR_SECONDS, MIN_TOKENS, ContextWindows

INCOMPLETE = "model_stream_incomplete"


def reply(text: str, finish_reason: FinishReason = FinishReason.STOP) -> ModelReply:
    return ModelReply(text=text, finish_reason=finish_reason)


@pytest.mark.parametrize(
    ("given", "finish"),
    [
        (reply("Yes."), RunFinish.STOP),
        (reply(" \n"), RunFinish.EMPTY),
        (reply("Ye", FinishReason.LENGTH), RunFinish.LENGTH),
        (reply("", FinishReason.LENGTH), RunFinish.LENGTH),
        (reply("I will not.", FinishReason.REFUSED), RunFinish.REFUSAL),
        (reply("Half", FinishReason.CONTENT_FILTER), RunFinish.CONTENT_FILTER),
    ],
)
def test_every_finish_has_its_name(given: ModelReply, finish: RunFinish) -> None:
    assert finish_of(given) is finish


def test_silence_is_worth_one_more_try() -> None:
    with pytest.raises(ProviderUnavailableError) as refused:
        check_answer(reply(""), ())
    assert refused.value.error_code == NO_ANSWER
    check_answer(reply(""), (NO_ANSWER,))
    check_answer(reply("", FinishReason.LENGTH), ())


def test_an_incomplete_stream_is_tried_three_times() -> None:
    error = ProviderUnavailableError("it broke off", INCOMPLETE)
    for outcomes in ((), (INCOMPLETE,), ("model_unavailable", INCOMPLETE)):
        assert failure_of(error, outcomes, ()).is_retryable
    last = failure_of(error, (INCOMPLETE, INCOMPLETE), ())
    assert (type(last), last.error_code) == (ProviderRejectedError, INCOMPLETE)


def test_an_outage_is_tried_as_long_as_the_step_may_last() -> None:
    error = ProviderUnavailableError("it is down", "model_unavailable")
    assert failure_of(error, ("model_unavailable",) * 50, ()) is error


def test_a_shut_circuit_is_told_by_what_shut_it() -> None:
    shut = ProviderUnavailableError("shut", CIRCUIT_OPEN, {"retry_after_seconds": 9})
    assert failure_of(shut, (), ()) is shut
    told = failure_of(shut, (CIRCUIT_OPEN,), ("model_unavailable", INCOMPLETE))
    assert (told.error_code, told.details) == ("model_unavailable", shut.details)
    assert told.is_retryable


def test_what_is_wrong_for_good_stays_so() -> None:
    error = ApplicationError("a defect of ours")
    assert failure_of(error, (), ("model_unavailable",)) is error


def test_a_window_is_learned_from_the_refusal() -> None:
    spec, windows = find_agent("research"), ContextWindows()
    whole = windows.token_limits("small", spec)
    assert whole == (spec.context_tokens, spec.max_answer_tokens)
    assert windows.learn("small", {"limit_tokens": 8_192}, sum(whole))
    token_limits = windows.token_limits("small", spec)
    assert (token_limits.prompt_tokens, token_limits.answer_tokens) == (
        6_144,
        spec.max_answer_tokens,
    )
    assert windows.token_limits("another", spec) == whole
    # Our own count may be too low for it: what was kept to and refused is halved.
    assert windows.learn("small", {"limit_tokens": 8_192}, sum(token_limits))
    assert sum(windows.token_limits("small", spec)) <= 4_096
    assert windows.learn("unnamed", {}, 17_024)
    assert sum(windows.token_limits("unnamed", spec)) <= 8_512
    sent = 8_512
    while windows.learn("unnamed", {}, sent):
        sent = sum(windows.token_limits("unnamed", spec))
        assert sent >= MIN_TOKENS, "nobody can work with less"


def test_refusals_of_requests_that_were_under_way_teach_nothing_more() -> None:
    """Twenty runs side by side meet the same window, and it is not halved twenty times."""
    spec, windows = find_agent("research"), ContextWindows()
    sent = sum(windows.token_limits("m", spec))
    for details in ({"limit_tokens": 8_192}, {}):
        windows = ContextWindows()
        assert windows.learn("m", details, sent)
        token_limits = windows.token_limits("m", spec)
        for _ in range(20):
            assert windows.learn("m", details, sent), "a shorter one is worth a try"
        assert windows.token_limits("m", spec) == token_limits


def test_a_window_is_forgotten_after_a_while() -> None:
    """What one odd refusal has taught does not shorten every prompt for ever."""
    now = 0.0
    spec, windows = find_agent("research"), ContextWindows(lambda: now)
    whole = windows.token_limits("m", spec)
    assert windows.learn("m", {"limit_tokens": 2_048}, sum(whole))
    now = LEARNED_FOR_SECONDS - 1
    assert windows.token_limits("m", spec) != whole
    now = LEARNED_FOR_SECONDS
    assert windows.token_limits("m", spec) == whole
