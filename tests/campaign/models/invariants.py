"""What must be true of every life with models, however they answered.

An invariant is a function that yields, in words, how it is violated; its name is what a failure
tells. None of them knows how the product does it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from tests.campaign.models import transcripts
from tests.campaign.models.evidence import (
    ENDED,
    Evidence,
    Json,
    RunSeen,
    Said,
    assistant_count,
    place_of,
    step_of,
    texts_of,
)
from tests.campaign.models.oddities import ANTHROPIC, BY_NAME, CALL_LIMIT

Violations = Iterator[str]
Invariant = Callable[[Evidence], Violations]

# What the stand-in's behaviours say of an effect; none is true without a call of a tool.
CLAIMS = ("I have asked for that", "<tool_call>", "Done")
# What they say before an effect, and is no answer.
PREFACES = ("Let me look that up",)
_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PYTHON = re.compile(r"Traceback|\b[A-Z][A-Za-z]+(Error|Exception)\b|object at 0x|<class ")
_WORDS_OF_A_PROVIDER = 20
_SETTLED = "settled"
_STOP_SECONDS = 10.0


# -- what is booked ------------------------------------------------------------------------------


def booked_is_what_was_sent(seen: Evidence) -> Violations:
    """Each attempt is booked at what the stand-in has sent for it, or more."""
    for run in seen.runs:
        for record, calls in seen.attempts(run):
            for name in ("prompt", "completion"):
                sent = sum(_sent(call, name) for call in calls)
                booked_usage = record[f"{name}_token_count"]
                if booked_usage < sent:
                    yield (
                        f"step {record['step']}, attempt {record['attempt']}"
                        f" ({record['outcome']}): {sent} {name} tokens sent, {booked_usage} booked"
                    )


def _sent(call: Json, name: str) -> int:
    """Return what a call has cost, as far as its client could know."""
    if call["status"] != 200:
        return 0
    tokens = int(call[f"{name}_tokens"])
    oddity = BY_NAME.get(call["behaviour"])
    is_partly_seen = name == "completion" and call["piece_count"] and not call["is_complete"]
    return tokens - oddity.hidden_tokens if oddity and is_partly_seen else tokens


def a_run_is_charged_for_all_its_calls(seen: Evidence) -> Violations:
    """What the API shows as used is what the stand-in has sent, or more."""
    for run in seen.runs:
        usage = run.shown.get("usage")
        if usage is None:
            continue
        for name in ("prompt_tokens", "completion_tokens"):
            sent = sum(_sent(call, name.removesuffix("_tokens")) for call in seen.calls_of(run))
            if usage[name] < sent:
                yield f"{run.tag}: {sent} {name} sent, {usage[name]} shown"


def exact_needs_the_last_word(seen: Evidence) -> Violations:
    """What broke off is booked as exact only if it is exactly what was sent.

    A call may be canceled between the provider's last count and the end of its stream.
    """
    for run in seen.runs:
        for record, calls in seen.attempts(run):
            paid = [call for call in calls if call["status"] == 200]
            is_exact = record["usage_status"] == _SETTLED and not record["is_estimated"]
            if not is_exact or all(call["is_complete"] for call in paid):
                continue
            for name in ("prompt", "completion"):
                booked_usage = record[f"{name}_token_count"]
                if booked_usage != sum(call[f"{name}_tokens"] for call in paid):
                    where = f"step {record['step']}, attempt {record['attempt']}"
                    yield f"{where}: {booked_usage} {name} tokens are booked as exact"


def no_hold_is_left(seen: Evidence) -> Violations:
    """A run that is over has no reservation open."""
    for run in seen.runs:
        open_attempts = [r for r in run.usage if r["usage_status"] != _SETTLED]
        if run.has_ended and open_attempts:
            yield f"{run.tag}: {len(open_attempts)} of {len(run.usage)} attempts are still reserved"


# -- what is asked -------------------------------------------------------------------------------


def calls_are_bounded(seen: Evidence) -> Violations:
    """No step is paid for again and again; each kill of the worker may cost one more call."""
    for run in seen.runs:
        asked, paid, odd = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        # Reason: an answer of no words is not read again, so the transcript alone hides a step.
        steps = {c["seq"]: record["step"] for record, calls in seen.attempts(run) for c in calls}
        for call in seen.calls_of(run):
            step = f"{step_of(call, run)} ({steps.get(call['seq'])})"
            asked[step] += 1
            paid[step] += call["status"] == 200
            if call["behaviour"] and call["status"] == 200 and not call["is_client_gone"]:
                odd[step, call["behaviour"]] += 1
        for step, count in asked.items():
            if count > CALL_LIMIT + seen.kill_count:
                yield f"{run.tag}: step {step} asked {count} times ({paid[step]} paid)"
        for (step, name), count in odd.items():
            if count > BY_NAME[name].call_limit + seen.kill_count:
                yield f"{run.tag}: step {step} was answered {count} times by {name}"


def every_request_is_a_transcript(seen: Evidence) -> Violations:
    """What was sent is a conversation that strict servers accept."""
    for call in seen.calls:
        is_anthropic = seen.spec.provider == ANTHROPIC
        for found in transcripts.problems(call["body"], is_anthropic=is_anthropic):
            yield f"request {call['seq']}: {found}"


def every_request_has_news(seen: Evidence) -> Violations:
    """A model is asked only about something new: a user's words, or what a tool has brought."""
    words = [run.input for run in seen.runs] + [said.content for said in seen.said]
    for call in seen.calls:
        last = call["body"]["messages"][-1]
        is_said = any(text in texts_of(last) for text in words)
        if not is_said and not transcripts.results_of(last):
            yield f"request {call['seq']} ends with {texts_of(last)[:40]!r}"


def the_newest_words_are_read(seen: Evidence) -> Violations:
    """A request holds, unchanged, the run's input and all that was said before it was put together.

    What the model's window has no room for may be dropped, but never what nobody has answered.
    """
    for run in seen.runs:
        for record, calls in seen.attempts(run):
            begun = record["created_wall_time"]
            said = [s for s in seen.said_to(run) if s.answered_at < begun]
            newest = said[-1].content if said else run.input
            for call in calls:
                missing = [t for t in (run.input, newest) if place_of(call["body"], t) is None]
                if missing:
                    yield f"{run.tag}: request {call['seq']} lacks {missing[0]!r}"


def what_was_taken_is_read(seen: Evidence) -> Violations:
    """A message that was answered 200 is in a later request, unless the run did not get there."""
    for run in seen.runs:
        for said in seen.said_to(run):
            is_read = any(place_of(c["body"], said.content) is not None for c in seen.calls)
            if not is_read and run.shown.get("run_status") == "completed":
                yield f"{run.tag} completed without having read {said.content!r}"


def answers_come_before_later_words(seen: Evidence) -> Violations:
    """What was said while an answer was generated stands behind that answer."""
    for run in seen.runs:
        for record, calls in seen.attempts(run):
            if record["outcome"] != "succeeded" or not calls or record["step"] is None:
                continue
            for said in seen.said_to(run):
                yield from _misplaced(seen, run, calls[-1], said)


def an_interruption_stops_the_answer(seen: Evidence) -> Violations:
    """No call that was under way goes on after a message that interrupts it was taken."""
    for run in seen.runs:
        for said in [each for each in seen.said_to(run) if each.is_interrupting]:
            for call in seen.calls_of(run):
                ended = call["ended_wall_time"]
                is_late = ended is not None and ended > said.answered_at + _STOP_SECONDS
                if call["started_wall_time"] < said.sent_at and is_late:
                    yield f"{run.tag}: call {call['seq']} went on after {said.content!r}"


def _misplaced(seen: Evidence, run: RunSeen, call: Json, said: Said) -> Violations:
    ended = call["ended_wall_time"]
    if ended is None or said.sent_at < call["started_wall_time"] or said.answered_at > ended:
        return
    before = step_of(call, run)
    for later in seen.calls_of(run):
        start, place = place_of(later["body"], run.tag), place_of(later["body"], said.content)
        if later["started_wall_time"] <= ended or start is None or place is None:
            continue
        if assistant_count(later["body"], start, place) <= before:
            where = f"request {later['seq']}: {said.content!r}"
            yield f"{where} stands before the answer to {call['seq']}"


# -- how it ends ---------------------------------------------------------------------------------


def every_run_ends(seen: Evidence) -> Violations:
    """A run ends, or waits for somebody who has not decided yet."""
    for run in seen.runs:
        status = run.shown.get("run_status")
        is_waiting = status == "waiting_approval" and run.decision is None
        if status not in ENDED and not (is_waiting and run.canceled_at is None):
            yield f"{run.tag} is {status}"


def a_stream_ends_with_done(seen: Evidence) -> Violations:
    """Numbers from 1 without gaps, and one `done`, which comes last."""
    for run in seen.runs:
        if not run.has_ended:
            continue
        numbers = [event["seq"] for event in run.events]
        kinds = [event["kind"] for event in run.events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{run.tag}: the stream has the numbers {numbers[:5]}…{numbers[-5:]}"
        if kinds.count("done") != 1 or kinds[-1:] != ["done"]:
            yield f"{run.tag}: the stream ends with {kinds[-3:]}, {kinds.count('done')} done"


def completed_means_an_answer(seen: Evidence) -> Violations:
    """A completed run has words, and the model came to its own end."""
    for run in seen.runs:
        if run.shown.get("run_status") != "completed":
            continue
        if not (run.shown["output"] or "").strip():
            yield f"{run.tag} is completed without an answer"
        if run.shown["finish_reason"] != "stop":
            yield f"{run.tag} is completed, and finished by {run.shown['finish_reason']}"
        if run.shown["error"] is not None:
            yield f"{run.tag} is completed, and has the error {run.shown['error']}"


def failures_have_our_names(seen: Evidence) -> Violations:
    """A failed run has a code of ours, no words of Python's, and none of the provider's."""
    refusals = [call["refusal"] for call in seen.calls if call["refusal"]]
    for run in seen.runs:
        if run.shown.get("run_status") not in {"failed", "budget_exceeded"}:
            continue
        error = run.shown["error"] or {}
        code, message = error.get("code") or "", error.get("message") or ""
        if not _CODE.fullmatch(code) or code == "internal_error":
            yield f"{run.tag} failed with {code!r}: {message!r}"
        if not message or _PYTHON.search(message):
            yield f"{run.tag} ({code}) tells {message!r}"
        if any(words[:_WORDS_OF_A_PROVIDER] in message for words in refusals):
            yield f"{run.tag} ({code}) tells the provider's words: {message!r}"


def what_is_said_was_done(seen: Evidence) -> Violations:
    """An answer claims no effect that the ledger of tools does not have."""
    for run in seen.runs:
        if run.shown.get("run_status") != "completed":
            continue
        output = run.shown["output"] or ""
        has_call = any(call["completed_at"] is not None for call in run.tool_calls)
        claims = [claim for claim in CLAIMS if output.startswith(claim)]
        if claims and not has_call:
            yield f"{run.tag} says {output[:60]!r}, and no tool was called"
        if any(output.strip().startswith(preface) for preface in PREFACES):
            yield f"{run.tag} gives a preface as its answer: {output[:60]!r}"


def refunds_are_what_was_approved(seen: Evidence) -> Violations:
    """Stripe has one refund for each call that somebody said yes to, and no other."""
    for run in seen.runs:
        if run.payment_intent is None:
            continue
        made = [r for r in seen.refunds if r["payment_intent"] == run.payment_intent]
        approved = [c for c in run.tool_calls if c["approval_status"] == "approved"]
        if len(made) != (run.decision == "approve") or len(approved) != len(made):
            yield f"{run.tag}: {run.decision}, {len(approved)} approved, {len(made)} refunds"


def people_are_answered(seen: Evidence) -> Violations:
    """The API never answers with a bare error, and nothing that was awaited stays away."""
    yield from seen.problems


INVARIANTS: tuple[Invariant, ...] = (
    booked_is_what_was_sent,
    a_run_is_charged_for_all_its_calls,
    exact_needs_the_last_word,
    no_hold_is_left,
    calls_are_bounded,
    every_request_is_a_transcript,
    every_request_has_news,
    the_newest_words_are_read,
    what_was_taken_is_read,
    answers_come_before_later_words,
    an_interruption_stops_the_answer,
    every_run_ends,
    a_stream_ends_with_done,
    completed_means_an_answer,
    failures_have_our_names,
    what_is_said_was_done,
    refunds_are_what_was_approved,
    people_are_answered,
)


def broken(seen: Evidence) -> list[str]:
    """Return how a life violates the invariants, each with the name of one."""
    found = [f"{each.__name__}: {words}" for each in INVARIANTS for words in each(seen)]
    return list(dict.fromkeys(found))


def others_are_well(status: str) -> Violations:
    """Somebody else's run, with a model that is well, completes in time.

    Args:
        status: Of that run when its time was over.
    """
    if status != "completed":
        yield f"a healthy run is {status}"
