"""Each invariant sees a violation that is planted, and nothing in a life that went well."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.llm.behaviours import NAMES
from tests.campaign.models import transcripts
from tests.campaign.models.coverage import cells_of
from tests.campaign.models.evidence import Evidence, RunSeen, Said
from tests.campaign.models.invariants import INVARIANTS, broken, others_are_well
from tests.campaign.models.oddities import ODDITIES, PROVIDERS
from tests.campaign.models.plan import Meanwhile, Planner, Spec, Step, all_cells

Json = dict[str, Any]
INPUT = "Please refund payment p-1, the zz1a train was late."
NOTE = "Note zz1-1: bring a coat."
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "refund_payment"}}
BEGINNING: list[Json] = [
    {"role": "system", "content": "You answer."},
    {"role": "user", "content": INPUT},
]
AFTER_THE_TOOL: list[Json] = [
    *BEGINNING,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "done"},
]
AFTER_THE_NOTE: list[Json] = [
    *AFTER_THE_TOOL,
    {"role": "assistant", "content": "It is paid back."},
    {"role": "user", "content": NOTE},
]


def call(seq: int, messages: list[Json], **more: Any) -> Json:
    row = {
        "seq": seq, "body": {"messages": copy.deepcopy(messages)}, "status": 200, "refusal": None,
        "behaviour": None, "prompt_tokens": 100, "completion_tokens": 10, "is_complete": True,
        "is_client_gone": False, "piece_count": 9, "started_wall_time": 100.0 * seq,
        "ended_wall_time": 100.0 * seq + 50,
    }  # fmt: skip
    return row | more


def record(step: int, at: float, **more: Any) -> Json:
    row = {
        "step": step, "attempt": 1, "usage_status": "settled", "outcome": "succeeded",
        "is_estimated": False, "prompt_token_count": 100, "completion_token_count": 10,
        "created_wall_time": at,
    }  # fmt: skip
    return row | more


def a_good_life() -> Evidence:
    """A refund that somebody said yes to, and a message in mid-answer."""
    made = {"tool": "refund_payment", "completed_at": 150.0, "approval_status": "approved"}
    kinds = ["status", "message", "done"]
    run = RunSeen(
        "zz1a",
        INPUT,
        agent_run_id="r-1",
        shown={
            "run_status": "completed", "output": "Done.", "finish_reason": "stop", "error": None,
            "usage": {"prompt_tokens": 300, "completion_tokens": 30},
        },
        usage=[record(0, 99.0), record(1, 199.0), record(2, 299.0)],
        tool_calls=[made],
        events=[{"seq": n, "kind": kind} for n, kind in enumerate(kinds, 1)],
        payment_intent="pi_1",
        decision="approve",
    )  # fmt: skip
    spec = Spec("openai", "slow", Step.APPROVAL, Meanwhile.MESSAGE)
    calls = [
        call(1, BEGINNING),
        call(2, AFTER_THE_TOOL, behaviour="slow"),
        call(3, AFTER_THE_NOTE, behaviour="slow"),
    ]
    said = [Said("zz1a", NOTE, 210.0, 220.0, 200)]
    return Evidence(spec, [run], calls, said, [{"payment_intent": "pi_1"}])


def an_attempt_more(seen: Evidence, *calls: Json) -> None:
    """Let the last step be asked again and again."""
    for number, each in enumerate(calls):
        seen.calls.append(each)
        at = each["started_wall_time"] - 1
        seen.runs[0].usage.append(record(2, at, attempt=number + 2))
        for name in ("prompt_tokens", "completion_tokens"):
            seen.runs[0].shown["usage"][name] += each[name]


def sent_more(seen: Evidence) -> None:
    seen.calls[1]["completion_tokens"] = 11
    seen.runs[0].shown["usage"]["completion_tokens"] = 99


def prompt_is_booked_too_low(seen: Evidence) -> None:
    seen.runs[0].usage[0]["prompt_token_count"] = 99


def shows_too_little(seen: Evidence) -> None:
    seen.runs[0].shown["usage"]["prompt_tokens"] = 299


def broke_off(seen: Evidence) -> None:
    seen.calls[1]["is_complete"] = False
    seen.runs[0].usage[1]["completion_token_count"] = 12


def still_reserved(seen: Evidence) -> None:
    seen.runs[0].usage[2]["usage_status"] = "reserved"


def streams_that_end_badly(seen: Evidence) -> None:
    seen.calls[2]["behaviour"] = "broken"
    more = [call(n, AFTER_THE_NOTE, behaviour="broken") for n in (4, 5, 6)]
    an_attempt_more(seen, *more)


def silence(seen: Evidence) -> None:
    seen.calls[2]["behaviour"] = "empty"
    more = [call(n, AFTER_THE_NOTE, behaviour="empty") for n in (4, 5)]
    an_attempt_more(seen, *more)


def asked_nine_times(seen: Evidence) -> None:
    an_attempt_more(seen, *(call(n, AFTER_THE_NOTE) for n in range(4, 12)))


def two_users(seen: Evidence) -> None:
    seen.calls[2]["body"]["messages"].insert(1, {"role": "user", "content": "Before."})


def asked_to_go_on(seen: Evidence) -> None:
    answer = {"role": "assistant", "content": "Yes."}
    go_on = {"role": "user", "content": "Go on."}
    an_attempt_more(seen, call(4, [*AFTER_THE_NOTE, answer, go_on]))


def input_is_dropped(seen: Evidence) -> None:
    seen.calls[1]["body"]["messages"][1]["content"] = "zz1a: the train was late."


def newest_is_dropped(seen: Evidence) -> None:
    seen.calls[2]["body"]["messages"][-2:] = []


def never_read(seen: Evidence) -> None:
    newest_is_dropped(seen)


def filed_by_arrival(seen: Evidence) -> None:
    messages = seen.calls[2]["body"]["messages"]
    messages[-2:] = [messages[-1], messages[-2]]


def goes_on_after_an_interruption(seen: Evidence) -> None:
    seen.said = [Said("zz1a", NOTE, 210.0, 220.0, 200, is_interrupting=True)]


def never_ends(seen: Evidence) -> None:
    seen.runs[0].shown["run_status"] = "running"


def no_done(seen: Evidence) -> None:
    seen.runs[0].events.pop()


def two_done(seen: Evidence) -> None:
    seen.runs[0].events[1]["kind"] = "done"


def a_gap(seen: Evidence) -> None:
    seen.runs[0].events[2]["seq"] = 4


def cut_and_completed(seen: Evidence) -> None:
    seen.runs[0].shown["finish_reason"] = "length"


def nothing_and_completed(seen: Evidence) -> None:
    seen.runs[0].shown["output"] = " "


def failed(code: str, message: str) -> Callable[[Evidence], None]:
    def plant(seen: Evidence) -> None:
        error = {"code": code, "message": message}
        seen.calls[1]["refusal"] = "Conversation roles must alternate user/assistant"
        seen.runs[0].shown |= {"run_status": "failed", "error": error}

    return plant


def claims_what_was_not_done(seen: Evidence) -> None:
    seen.runs[0].tool_calls[0]["completed_at"] = None


def a_preface(seen: Evidence) -> None:
    seen.runs[0].shown["output"] = "Let me look that up for you."


def refunded_twice(seen: Evidence) -> None:
    seen.refunds *= 2


def refunded_after_a_no(seen: Evidence) -> None:
    seen.runs[0].decision = "reject"


def a_bare_error(seen: Evidence) -> None:
    seen.problems.append("messages is answered by 500")


PLANTED: list[tuple[str, Callable[[Evidence], None]]] = [
    ("booked_is_what_was_sent", sent_more),
    ("booked_is_what_was_sent", prompt_is_booked_too_low),
    ("a_run_is_charged_for_all_its_calls", shows_too_little),
    ("exact_needs_the_last_word", broke_off),
    ("no_hold_is_left", still_reserved),
    ("calls_are_bounded", streams_that_end_badly),
    ("calls_are_bounded", silence),
    ("calls_are_bounded", asked_nine_times),
    ("every_request_is_a_transcript", two_users),
    ("every_request_has_news", asked_to_go_on),
    ("the_newest_words_are_read", input_is_dropped),
    ("the_newest_words_are_read", newest_is_dropped),
    ("what_was_taken_is_read", never_read),
    ("answers_come_before_later_words", filed_by_arrival),
    ("an_interruption_stops_the_answer", goes_on_after_an_interruption),
    ("every_run_ends", never_ends),
    ("a_stream_ends_with_done", no_done),
    ("a_stream_ends_with_done", two_done),
    ("a_stream_ends_with_done", a_gap),
    ("completed_means_an_answer", cut_and_completed),
    ("completed_means_an_answer", nothing_and_completed),
    ("failures_have_our_names", failed("RateLimitError", "it failed")),
    ("failures_have_our_names", failed("internal_error", "something went wrong on our side")),
    ("failures_have_our_names", failed("model_rejected", "KeyError: 'id'; a ValueError too")),
    ("failures_have_our_names", failed("model_rejected", "Conversation roles must alternate")),
    ("what_is_said_was_done", claims_what_was_not_done),
    ("what_is_said_was_done", a_preface),
    ("refunds_are_what_was_approved", refunded_twice),
    ("refunds_are_what_was_approved", refunded_after_a_no),
    ("people_are_answered", a_bare_error),
]  # fmt: skip


def test_a_good_life_violates_nothing() -> None:
    seen = a_good_life()
    assert broken(seen) == []
    assert cells_of(seen) == {("slow", "openai", "approval", "message")}


@pytest.mark.parametrize(("name", "plant"), PLANTED)
def test_a_planted_violation_is_seen(name: str, plant: Callable[[Evidence], None]) -> None:
    seen = a_good_life()
    plant(seen)
    assert name in {found.partition(":")[0] for found in broken(seen)}


def test_a_healthy_run_that_waits_is_seen() -> None:
    assert not list(others_are_well("completed"))
    assert list(others_are_well("running"))


def test_every_invariant_can_fail() -> None:
    assert {name for name, _ in PLANTED} == {each.__name__ for each in INVARIANTS}


def test_canceled_after_the_last_count_may_be_exact() -> None:
    seen = a_good_life()
    seen.calls[1]["is_complete"] = False
    assert broken(seen) == []


def test_what_nobody_can_see_is_known_with_the_last_count() -> None:
    seen = a_good_life()
    hidden = {"behaviour": "xai_totals", "completion_tokens": 510, "is_complete": False}
    seen.calls[1].update(hidden)
    seen.runs[0].usage[1]["is_estimated"] = True
    assert broken(seen) == []
    seen.calls[1]["is_complete"] = True
    assert len(broken(seen)) == 2


def test_our_failures_are_no_violation() -> None:
    seen = a_good_life()
    failed("model_stream_incomplete", "the model's answer broke off before its end")(seen)
    assert broken(seen) == []


@pytest.mark.parametrize(
    "change",
    [
        {"behaviour": "broken"},
        {"status": None},
        {"body": {"messages": BEGINNING}},
    ],
)
def test_a_cell_needs_its_behaviour_at_its_step(change: Json) -> None:
    seen = a_good_life()
    for each in seen.calls[1:]:
        each.update(change)
    assert cells_of(seen) == set()


ANTHROPIC: list[Json] = [
    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t1", "name": "search", "input": {}}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no"}]},
]


@pytest.mark.parametrize(
    ("messages", "is_anthropic", "words"),
    [
        ([*BEGINNING, {"role": "assistant", "content": "It"}], False, "ends with the assistant"),
        ([*BEGINNING, *BEGINNING[1:]], False, "two neighbours"),
        ([BEGINNING[0], *AFTER_THE_TOOL[2:]], False, "begins"),
        (AFTER_THE_TOOL[:3], False, "no result"),
        ([*BEGINNING, AFTER_THE_TOOL[3]], False, "not called right before"),
        ([*AFTER_THE_TOOL, *AFTER_THE_TOOL[2:]], False, "used twice"),
        ([BEGINNING[0], {"role": "user", "content": " "}], False, "is empty"),
        ([*AFTER_THE_NOTE, BEGINNING[0]], False, "do not belong"),
        ([], False, "no messages"),
        (ANTHROPIC[:2], True, "no result"),
        (ANTHROPIC[::2], True, "two neighbours"),
        ([*ANTHROPIC, ANTHROPIC[1]], True, "used twice"),
        ([{"role": "user", "content": [{"type": "text", "text": ""}]}], True, "is empty"),
    ],
)
def test_what_is_wrong_with_a_transcript(
    messages: list[Json], is_anthropic: bool, words: str
) -> None:
    found = list(transcripts.problems({"messages": messages}, is_anthropic=is_anthropic))
    assert any(words in each for each in found), found


def test_good_transcripts() -> None:
    for messages, is_anthropic in ((AFTER_THE_NOTE, False), (ANTHROPIC, True)):
        assert not list(transcripts.problems({"messages": messages}, is_anthropic=is_anthropic))


def test_the_catalogue_has_every_behaviour() -> None:
    assert {oddity.name for oddity in ODDITIES} == NAMES


def test_a_plan_is_its_seed_and_has_every_cell() -> None:
    for provider in PROVIDERS:
        cells = all_cells(provider)
        waves = Planner(provider, 7).waves(24)
        played: list[Spec] = []
        while len(played) < len(cells):
            wave = next(waves)
            kills = {spec.meanwhile is Meanwhile.KILL for spec in wave}
            assert len(kills) == 1 or wave[0].oddity.is_remembered
            played += wave
        assert len({spec.cell for spec in played}) == len(cells)
        again = Planner(provider, 7).waves(24)
        assert next(again) == played[: len(next(Planner(provider, 7).waves(24)))]
    spec = played[0]
    assert Spec.loaded(spec.dumped()) == spec
