"""Plays lives against stacks, wave by wave, and counts what they covered."""

import asyncio
import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import psycopg

from tests.campaign.models.coverage import Cell, cells_of
from tests.campaign.models.evidence import Evidence, Json, has_text
from tests.campaign.models.invariants import broken, others_are_well
from tests.campaign.models.life import FINE, Life, Talk
from tests.campaign.models.plan import Spec, Step
from tests.campaign.models.stand import Stand
from tests.campaign.outside import OutsideError, good, until

HEALTHY_SECONDS = 20.0
_GIVE_UP_SECONDS = 400
# So many runs that fail at a model are reason to leave it alone, for so long.
_FEW_FAILURES = 5
_COOL_DOWN_SECONDS = 33.0
_TROUBLES = (OutsideError, httpx.HTTPError, KeyError, TimeoutError, psycopg.Error)


@dataclass(frozen=True)
class Violation:
    """What was wrong with one life, or after a wave of them."""

    specs: tuple[Spec, ...]
    mark: str
    found: tuple[str, ...]

    def told(self) -> str:
        """Return it in words, with the command that plays it again."""
        lines = [f"VIOLATED seed {self.specs[0].seed} ({self.mark}, {self.specs[0].provider})"]
        lines += [f"  {found}" for found in self.found]
        again = shlex.quote("[" + ", ".join(spec.dumped() for spec in self.specs) + "]")
        return "\n".join([*lines, f"  again: python -m tests.campaign.models --only {again}"])


@dataclass
class Outcome:
    """What a campaign came to."""

    covered: set[Cell] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)
    life_count: int = 0
    missed: list[Spec] = field(default_factory=list)

    @property
    def violated_count(self) -> int:
        """How many invariants were violated, in all lives."""
        return sum(len(each.found) for each in self.violations)

    @property
    def last_line(self) -> str:
        """The line that a campaign ends with."""
        return f"campaign: {len(self.covered)} cells, {self.violated_count} violated"

    def summary(self) -> str:
        """Return which cells were covered, by behaviour and step, and which invariants broke."""
        rows: dict[str, Counter[str]] = {}
        for behaviour, provider, step, _ in self.covered:
            rows.setdefault(behaviour, Counter())[f"{provider[:6]} {step}"] += 1
        heads = [f"{provider} {step}" for provider in ("openai", "anthro") for step in Step]
        width = max((len(name) for name in rows), default=10)
        lines = [f"{'behaviour':{width}} " + " ".join(f"{head:>15}" for head in heads)]
        for name in sorted(rows):
            counts = " ".join(f"{rows[name][head] or '·':>15}" for head in heads)
            lines.append(f"{name:{width}} {counts}")
        by_people = Counter(meanwhile for *_, meanwhile in self.covered)
        lines.append("meanwhile: " + ", ".join(f"{n} {c}" for n, c in sorted(by_people.items())))
        names = Counter(f.partition(":")[0] for v in self.violations for f in v.found)
        lines += [f"{name}: {count} times" for name, count in names.most_common()]
        lines.append(f"{self.life_count} lives, {len(self.missed)} of them missed their cell")
        return "\n".join(lines)


class Campaign:
    """Plays lives in one stack.

    Args:
        stand: The stack.
        outcome: What it adds to.
        tell: Gets each violation in words.
    """

    def __init__(self, stand: Stand, outcome: Outcome, tell: Callable[[str], None]) -> None:
        self._stand = stand
        self._outcome = outcome
        self._tell = tell

    async def play(self, waves: Iterable[Sequence[Spec]], until_time: float) -> None:
        """Play waves until there are no more, or the time is over."""
        for wave in waves:
            if time.monotonic() > until_time:
                return
            await self.wave(wave)
            if any(spec.oddity.is_remembered for spec in wave):
                await self._stand.kill_worker()
            await self._stand.forget()

    async def wave(self, specs: Sequence[Spec]) -> None:
        """Play lives side by side, look at all they left behind, and ask how others fare."""
        talks = [self._talk(spec, place) for place, spec in enumerate(specs)]
        await asyncio.gather(*(_lived(talk) for talk in talks))
        calls, refunds = await self._stand.log(), await self._stand.refunds()
        for talk in talks:
            self._judge(talk, calls, refunds)
        # Reason: what is remembered of a model is remembered of it for everybody.
        if not any(spec.oddity.is_remembered for spec in specs):
            await self._others_are_well(specs)

    def _talk(self, spec: Spec, place: int) -> Talk:
        customers = self._stand.customers[:-1] or self._stand.customers
        return Talk(self._stand, customers[place % len(customers)], Evidence(spec))

    def _judge(self, talk: Talk, calls: list[Json], refunds: list[Json]) -> None:
        seen, outcome = talk.seen, self._outcome
        # Reason: what a run has asked is remembered, and comes back to others by a tool.
        seen.calls = [call for call in calls if has_text(call["body"], talk.mark)]
        intents = {run.payment_intent for run in seen.runs}
        seen.refunds = [row for row in refunds if row["payment_intent"] in intents]
        found, covered = broken(seen), cells_of(seen)
        outcome.covered |= covered
        outcome.life_count += 1
        if not covered:
            outcome.missed.append(seen.spec)
        if found:
            self._add(Violation((seen.spec,), talk.mark, tuple(found)))

    async def _others_are_well(self, specs: Sequence[Spec]) -> None:
        """Let somebody else ask something: odd answers to others delay nobody."""
        if await self._stand.database.failed_run_count() >= _FEW_FAILURES:
            # Reason: when many fail one after the other, the model is rightly left alone.
            await asyncio.sleep(_COOL_DOWN_SECONDS)
        mark = f"zz{uuid4().hex[:10]}"
        await self._stand.script({"match": mark, "text": FINE, "repeat": 9})
        caller = self._stand.customers[-1].caller
        body = {"agent": "research", "input": f"Where is the {mark} bus?"}
        reply = await caller.send("agent-runs", body, HEALTHY_SECONDS)
        status = "not begun" if reply is None else await self._status_in_time(good(reply))
        if found := [f"others_are_well: {words}" for words in others_are_well(status)]:
            self._add(Violation(tuple(specs), mark, tuple(found)))

    async def _status_in_time(self, run: Json) -> str:
        async def is_over() -> bool:
            return await self._stand.has_ended(run["agent_run_id"])

        with contextlib.suppress(OutsideError):
            await until("a healthy run", is_over, HEALTHY_SECONDS, pause=0.2)
        return await self._stand.status(run["agent_run_id"])

    def _add(self, violation: Violation) -> None:
        self._outcome.violations.append(violation)
        self._tell(violation.told())


async def _lived(talk: Talk) -> None:
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await Life(talk, talk.seen.spec).play()
    except _TROUBLES as error:
        talk.seen.problems.append(f"the life stops: {type(error).__name__} {error}")
        with contextlib.suppress(*_TROUBLES):
            await talk.read()
