"""The corpus of injections and of harmless texts; see tests/corpora/injections/README.md."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "corpora" / "injections"
HALVES = ("tuning", "held_out")


class Sample(NamedTuple):
    """A text of the corpus.

    Args:
        text: As it would stand in material from outside.
        kind: What sort of text it is.
        language: Its language, of ISO 639-1.
        half: Whether patterns may be made for it, or are only measured by it.
    """

    text: str
    kind: str
    language: str
    half: str


@cache
def read_samples(name: str) -> tuple[Sample, ...]:
    """Return the samples of `attacks` or `harmless`."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Sample(**json.loads(line)) for line in lines)
