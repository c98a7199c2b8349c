"""Which cells a life covered, by the stand-in's own log."""

from tests.campaign.models.evidence import Evidence, Json, RunSeen, place_of, step_of
from tests.campaign.models.plan import Meanwhile, Step

Cell = tuple[str, str, str, str]
"""Behaviour, provider, step, meanwhile."""


def cells_of(seen: Evidence) -> set[Cell]:
    """Return the cell that a life covered: its behaviour has answered a call at its step.

    A cell in which people do something needs that they did it.
    """
    struck = _struck_run(seen)
    if struck is None or not _was_done(seen, struck):
        return set()
    for call in seen.calls_of(struck):
        is_odd = call["behaviour"] == seen.spec.behaviour and call["status"] is not None
        if is_odd and _is_at(seen.spec.step, call, struck, seen):
            return {seen.spec.cell}
    return set()


def _struck_run(seen: Evidence) -> RunSeen | None:
    place = 1 if seen.spec.step is Step.SECOND else 0
    return seen.runs[place] if len(seen.runs) > place else None


def _is_at(step: Step, call: Json, run: RunSeen, seen: Evidence) -> bool:
    last = call["body"]["messages"][-1]
    has_result = last["role"] == "tool" or any(
        block.get("type") == "tool_result"
        for block in (last["content"] if isinstance(last["content"], list) else [])
    )
    number = step_of(call, run)
    match step:
        case Step.FIRST:
            return number == 0
        case Step.SECOND:
            begins = place_of(call["body"], run.tag) or 0
            return number == 0 and begins > 1
        case _:
            is_refund = "refund_payment" in str(call["body"]["messages"])
            return has_result and number > 0 and is_refund == (step is Step.APPROVAL)


def _was_done(seen: Evidence, struck: RunSeen) -> bool:
    match seen.spec.meanwhile:
        case Meanwhile.MESSAGE | Meanwhile.INTERRUPT:
            return bool(seen.said_to(struck))
        case Meanwhile.CANCEL:
            return struck.canceled_at is not None
        case Meanwhile.KILL:
            return seen.kill_count > 0
        case Meanwhile.SECOND_RUN:
            return seen.runs[-1] is not struck
        case Meanwhile.REJECT:
            return struck.decision == "reject"
        case _:
            return True
