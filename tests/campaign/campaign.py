"""Plays lifecycles side by side, and counts what they covered."""

import asyncio
import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.campaign.coverage import Covered, calls_of, cells_of
from tests.campaign.life import Life, Patience, Plans, StoryError
from tests.campaign.outside import Json, Outside, OutsideError, good, until
from tests.campaign.phases import Phase
from tests.campaign.plan import Planner, Reached, Spec
from tests.campaign.stories import POLICIES, STORIES, WEBHOOKS

SCHEDULE: Json = {"schedules": {"default": ["4s", "4s"]}, "grace": "7d"}
QUIET_SECONDS = 180
_GIVE_UP_SECONDS = 300


async def make_plans(outside: Outside) -> Plans:
    """Make a plan for each policy."""
    plans = Plans()
    for name, (changes, policy) in POLICIES.items():
        code = f"campaign-{uuid4().hex[:8]}"
        body = SCHEDULE | changes
        good(await outside.admin.once("PUT", f"retry-policies/{code}", json=body))
        plans.ids[name] = await _make_plan(outside, code, retry_policy=code)
        plans.policies[name] = policy
    code = f"campaign-{uuid4().hex[:8]}"
    plans.larger_id = await _make_plan(outside, f"{code}-larger", amount_cents=9_900)
    plans.trial_id = await _make_plan(outside, f"{code}-trial", trial_days=14)
    return plans


async def _make_plan(outside: Outside, code: str, **fields: Any) -> str:
    plan = {
        "code": code,
        "name": "Campaign",
        "amount_cents": 2_900,
        "currency_code": "usd",
        "interval": "month",
    }
    made = good(await outside.admin.once("POST", "plans", json=plan | fields))
    return str(made["plan_id"])


@dataclass(frozen=True)
class Violation:
    """What was wrong with one lifecycle."""

    spec: Spec
    email: str
    found: tuple[str, ...]

    def told(self) -> str:
        """Return it in words, with the command that plays it again."""
        lines = [f"VIOLATED seed {self.spec.seed} ({self.email})"]
        lines += [f"  {found}" for found in self.found]
        again = shlex.quote(self.spec.dumped())
        return "\n".join([*lines, f"  again: python -m tests.campaign --only {again}"])


@dataclass
class Outcome:
    """What a campaign came to."""

    covered: Covered = field(default_factory=set)
    reached: Reached = field(default_factory=Reached)
    violations: list[Violation] = field(default_factory=list)
    life_count: int = 0
    unmet: Counter[str] = field(default_factory=Counter)

    @property
    def last_line(self) -> str:
        """The line that a campaign ends with."""
        count = sum(len(each.found) for each in self.violations)
        return f"campaign: {len(self.covered)} cells, {count} violated"

    def summary(self) -> str:
        """Return which cells were covered, by call and phase, and which invariants were broken."""
        rows: dict[str, Counter[Phase]] = {}
        for call, _, phase in self.covered:
            rows.setdefault(call, Counter())[phase] += 1
        width = max((len(call) for call in rows), default=10)
        names = [phase.value for phase in Phase]
        lines = [f"{'answers by call and phase':{width}} " + " ".join(f"{n:>11}" for n in names)]
        for call in sorted(rows):
            cells = " ".join(f"{rows[call][phase] or '·':>11}" for phase in Phase)
            lines.append(f"{call:{width}} {cells}")
        answers = Counter(answer for _, answer, _ in self.covered)
        lines += ["", "answers: " + ", ".join(f"{a} {n}" for a, n in sorted(answers.items()))]
        broken = Counter(f.partition(":")[0] for v in self.violations for f in v.found)
        lines += [f"{name}: {count} times" for name, count in broken.most_common()]
        most = ", ".join(f"{name} {count}" for name, count in self.unmet.most_common(12))
        lines.append(f"faults that met no call: {self.unmet.total()} ({most})")
        lines.append(f"{self.life_count} lifecycles")
        return "\n".join(lines)


class Campaign:
    """Plays lifecycles in one stack."""

    def __init__(
        self,
        outside: Outside,
        plans: Plans,
        *,
        patience: Patience,
        tell: Callable[[str], None],
        advance: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self.outcome = Outcome()
        self._outside = outside
        self._plans = plans
        self._patience = patience
        self._tell = tell
        self._advance = advance

    async def play(self, specs: Iterator[Spec], at_once: int, until_time: float) -> None:
        """Play lifecycles side by side until there are no more, or the time is over."""

        async def work() -> None:
            while time.monotonic() < until_time:
                # Reason: a shared generator; none of its steps waits.
                spec = next(specs, None)
                if spec is None:
                    return
                await self._one(spec)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    async def _one(self, spec: Spec) -> None:
        life = Life(
            self._outside, self._plans, spec.order.policy, spec.cells, spec.seed, self._patience,
            WEBHOOKS[spec.order.webhooks],
        )  # fmt: skip
        found: list[str]
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                found = await _lived(life, spec)
        except TimeoutError:
            found = [f"the_story_ends: it did not within {_GIVE_UP_SECONDS} s"]
        except (OutsideError, httpx.HTTPError, KeyError) as error:
            found = [f"the_story_ends: {type(error).__name__} {error}"]
        self.outcome.life_count += 1
        with contextlib.suppress(OutsideError, httpx.HTTPError):
            await life.calm()
            await self._learn(life, spec)
        if found:
            violation = Violation(spec, life.email, tuple(dict.fromkeys(found)))
            self.outcome.violations.append(violation)
            self._tell(violation.told())
        self._advance(self.outcome)

    async def _learn(self, life: Life, spec: Spec) -> None:
        seen = await life.collect()
        covered = cells_of(seen)
        self.outcome.covered |= covered
        self.outcome.reached.add(spec.order.way, calls_of(seen))
        met = {(answer, phase) for _, answer, phase in covered}
        for cell in spec.cells:
            if (cell.answer, cell.phase) not in met:
                self.outcome.unmet[f"{cell.phase}: {cell.call or 'any'}"] += 1

    async def end(self) -> None:
        """Wait until the whole product is quiet."""

        async def is_quiet() -> bool:
            return bool((await self._outside.admin.get("admin/quiet"))["is_quiet"])

        try:
            await until("quiet", is_quiet, QUIET_SECONDS)
        except OutsideError:
            quiet = await self._outside.admin.get("admin/quiet")
            found = (f"all_is_quiet_at_the_end: {quiet}",)
            spec = next(Planner(0, set(), Reached()).first())
            self.outcome.violations.append(Violation(spec, "everybody", found))
            self._tell(f"VIOLATED {found[0]}")


async def _lived(life: Life, spec: Spec) -> list[str]:
    try:
        await STORIES[spec.order.story](life, spec.order)
    except (StoryError, OutsideError) as error:
        life.problems.append(f"the story stops: {error}")
    return await life.finish()
