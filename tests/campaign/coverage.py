"""Which answers which calls had in which phases, read from the stand-in's log and ledger."""

from collections.abc import Iterator

from tests.campaign.calls import Call, call_of
from tests.campaign.evidence import Evidence, Json
from tests.campaign.phases import Phase

STRIPES_OWN = "Stripe's own charge"
Covered = set[tuple[str, str, Phase]]
"""Call, answer, phase."""


def phase_at(seen: Evidence, moment: float) -> Phase | None:
    """Return the phase that a moment of wall time lies in."""
    begun = [phase for at, phase in seen.told.marks if at <= moment]
    return begun[-1] if begun else None


def calls_of(seen: Evidence) -> Iterator[tuple[Phase, Call]]:
    """Yield which calls the product made in which phase."""
    for row in seen.log:
        phase, call = phase_at(seen, row["wall_time"]), call_of(row["method"], row["path"])
        if phase and call and "Stripe/" in (row["user_agent"] or ""):
            yield phase, call


def cells_of(seen: Evidence) -> Covered:
    """Return what a lifecycle covered."""
    found: Covered = set()
    for row in seen.log:
        call, phase = call_of(row["method"], row["path"]), phase_at(seen, row["wall_time"])
        answer = _answer(row, phase)
        if call and phase and answer and "Stripe/" in (row["user_agent"] or ""):
            found.add((call.value, answer, phase))
    for row in seen.tried():
        phase = phase_at(seen, row["wall_time"])
        if row["idempotency_key"] is None and row["decline_code"] and phase:
            found.add((STRIPES_OWN, f"402 {row['decline_code']}", phase))
    return found


def _answer(row: Json, phase: Phase | None) -> str | None:
    """Return what a request was answered, None for what it is on a good day."""
    if row["fault"]:
        name, _, meant = row["fault"].rpartition("@")
        return name if meant == phase else None
    if row["status"] is None or row["status"] < 400:
        return None
    code = row["decline_code"] or row["error_code"]
    return f"{row['status']} {code}" + (" again" if row["replayed"] else "")
