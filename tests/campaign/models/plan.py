"""What is played: lives drawn by a seed, each cell once before any comes again."""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain, islice

from tests.campaign.models.oddities import BY_NAME, ODDITIES, PROVIDERS, Oddity


class Step(StrEnum):
    """Which call of a run is answered oddly."""

    FIRST = "first"
    TOOL = "tool"
    """The call after a tool's result."""
    APPROVAL = "approval"
    """The call after somebody has decided about a refund."""
    SECOND = "second"
    """The first call of the conversation's second run."""


class Meanwhile(StrEnum):
    """What people do while it is answered."""

    NOTHING = "nothing"
    MESSAGE = "message"
    INTERRUPT = "interrupt"
    """A message that stops the answer under way."""
    CANCEL = "cancel"
    KILL = "kill"
    SECOND_RUN = "second_run"
    REJECT = "reject"
    """Somebody says no to the refund; else they say yes."""


@dataclass(frozen=True)
class Spec:
    """All that decides a life."""

    provider: str
    behaviour: str
    step: Step
    meanwhile: Meanwhile
    seed: str = "1"
    is_once: bool = False
    """Whether only one call is answered oddly, and the next ones well."""

    @property
    def oddity(self) -> Oddity:
        """The behaviour, with what is known of it."""
        return BY_NAME[self.behaviour]

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """Behaviour, provider, step, meanwhile."""
        return self.behaviour, self.provider, self.step, self.meanwhile

    def dumped(self) -> str:
        """Return it as a line of JSON, to play it again."""
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> "Spec":
        """Read what `dumped` wrote."""
        parts = json.loads(text)
        names = {"step": Step(parts["step"]), "meanwhile": Meanwhile(parts["meanwhile"])}
        return cls(**parts | names)


def makes_sense(oddity: Oddity, provider: str, step: Step, meanwhile: Meanwhile) -> bool:
    """Tell whether people can do this at this step against this behaviour."""
    if provider not in oddity.providers:
        return False
    if oddity.is_endless:
        return meanwhile is Meanwhile.CANCEL
    if meanwhile is Meanwhile.REJECT:
        return step is Step.APPROVAL
    # Reason: a refusal has no middle in which somebody could act.
    return not oddity.is_refusal or meanwhile in {Meanwhile.NOTHING, Meanwhile.SECOND_RUN}


def all_cells(provider: str) -> list[tuple[Oddity, Step, Meanwhile]]:
    """Return every combination that makes sense for a provider."""
    return [
        (oddity, step, meanwhile)
        for oddity in ODDITIES
        for step in Step
        for meanwhile in Meanwhile
        if makes_sense(oddity, provider, step, meanwhile)
    ]


class Planner:
    """Draws waves of lives for one provider."""

    def __init__(self, provider: str, seed: int) -> None:
        self._provider = provider
        self._seed = seed
        self._dice = random.Random(f"{provider}-{seed}")  # noqa: S311 - no secrets

    def waves(self, size: int) -> Iterator[list[Spec]]:
        """Yield waves for ever: kills apart, and what is remembered among its own.

        Args:
            size: Of a wave.
        """
        while True:
            cells = all_cells(self._provider)
            self._dice.shuffle(cells)
            plain = [c for c in cells if not c[0].is_remembered and c[2] is not Meanwhile.KILL]
            killed = [c for c in cells if not c[0].is_remembered and c[2] is Meanwhile.KILL]
            kept = {n: [c for c in cells if c[0].name == n] for n in BY_NAME}
            remembered = [kept[n] for n in kept if BY_NAME[n].is_remembered and kept[n]]
            waves = chain(
                *(self._cut(some, size) for some in (plain[: 3 * size], killed[:size])),
                *(self._cut(some[: size // 2], size) for some in remembered),
                self._cut(plain[3 * size :], size),
                self._cut(killed[size:], size),
                *(self._cut(some[size // 2 :], size) for some in remembered),
            )
            yield from waves

    def sample(self, count: int) -> list[Spec]:
        """Return a few lives without kills, of different behaviours and steps."""
        cells = all_cells(self._provider)
        self._dice.shuffle(cells)
        quick = [c for c in cells if not c[0].is_remembered and c[2] is not Meanwhile.KILL]
        return [self._spec(cell) for cell in _different(quick, count)]

    def _cut(self, cells: list[tuple[Oddity, Step, Meanwhile]], size: int) -> Iterator[list[Spec]]:
        left = iter(cells)
        while wave := list(islice(left, size)):
            yield [self._spec(cell) for cell in wave]

    def _spec(self, cell: tuple[Oddity, Step, Meanwhile]) -> Spec:
        oddity, step, meanwhile = cell
        seed = f"{self._seed}-{self._dice.randrange(1_000_000)}"
        is_once = self._dice.random() < 0.25
        return Spec(self._provider, oddity.name, step, meanwhile, seed, is_once)


def _different(
    cells: list[tuple[Oddity, Step, Meanwhile]], count: int
) -> list[tuple[Oddity, Step, Meanwhile]]:
    chosen: list[tuple[Oddity, Step, Meanwhile]] = []
    for cell in cells:
        if len(chosen) < count and cell[0] not in {each[0] for each in chosen}:
            chosen.append(cell)
    return chosen


__all__ = ["PROVIDERS", "Meanwhile", "Planner", "Spec", "Step", "all_cells", "makes_sense"]
