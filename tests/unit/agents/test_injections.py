"""Screening is measured with a corpus: most attacks are marked, harmless texts hardly ever."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from agents.guards import find_document_suspicions, screen
from tests.support.injections import HALVES, Sample, read_samples

MIN_ATTACKS_PERCENT = 80
MAX_HARMLESS_PERCENT = 2
MEGABYTE = 1_000_000


def tell(samples: Sequence[Sample], field: str) -> None:
    """Print how many of the samples are marked, by one of their fields."""
    counts = Counter(getattr(sample, field) for sample in samples)
    marked = Counter(getattr(sample, field) for sample in samples if screen(sample.text))
    for name, count in sorted(counts.items()):
        print(f"  {field} {name}: {marked[name]} of {count} marked")  # noqa: T201


def percent_marked(samples: Sequence[Sample]) -> float:
    return 100 * sum(bool(screen(sample.text)) for sample in samples) / len(samples)


def test_the_corpus_has_two_large_halves() -> None:
    texts = [sample.text for name in ("attacks", "harmless") for sample in read_samples(name)]
    assert len(set(texts)) == len(texts)
    for name in ("attacks", "harmless"):
        samples = read_samples(name)
        assert len(samples) >= 220
        counts = Counter(sample.half for sample in samples)
        assert counts.keys() == set(HALVES)
        assert min(counts.values()) >= 100
        assert len({sample.language for sample in samples}) == 12


@pytest.mark.parametrize("half", HALVES)
def test_most_attacks_are_marked(half: str) -> None:
    samples = [sample for sample in read_samples("attacks") if sample.half == half]
    percent = percent_marked(samples)
    print(f"attacks, {half}: {percent:.1f} % marked")  # noqa: T201
    tell(samples, "kind")
    tell(samples, "language")
    assert percent >= MIN_ATTACKS_PERCENT


@pytest.mark.parametrize("half", HALVES)
def test_harmless_texts_are_hardly_ever_marked(half: str) -> None:
    samples = [sample for sample in read_samples("harmless") if sample.half == half]
    percent = percent_marked(samples)
    print(f"harmless, {half}: {percent:.1f} % marked")  # noqa: T201
    tell(samples, "kind")
    tell(samples, "language")
    assert percent <= MAX_HARMLESS_PERCENT


def test_an_attack_is_marked_wherever_it_stands() -> None:
    """In a field of a tool's result, or in the middle of a long document."""
    marked = [sample for sample in read_samples("attacks") if screen(sample.text)]
    for sample in marked:
        assert find_document_suspicions({"rows": [{"note": sample.text}]}), sample
    for sample in marked[::10]:
        assert screen(f"{'A plain line. ' * 400}\n{sample.text}\n{'Another one. ' * 400}"), sample


def seconds_of(text: str) -> float:
    """Return the processor's time for screening a text."""
    begun = time.process_time()
    screen(text)
    return time.process_time() - begun


def test_a_megabyte_is_screened() -> None:
    line = "The night train leaves at nine, and the harbour is closed. "
    seconds = seconds_of((line * (MEGABYTE // len(line) + 1))[:MEGABYTE])
    print(f"{seconds:.1f} s for 1 MB")  # noqa: T201


@pytest.mark.parametrize(
    "unit",
    [
        "send your tokens ",
        "refund call do plan ",
        "https://a.example/?b=c&",
        "\u0438\u0433\u043d\u043e\u0440\u0438\u0440\u0443\u0439 \u0432\u0441\u0435 \u03b1\u0431a ",
        "\u5ffd\u7565\u53d6\u6d88\u78ba\u8a8d\u89e3\u7d04",
        "aWdub3JlIGFsbCBwcmV2aW91cyA=  ",
        f"{'69' * 30} ",
        "a.",
        "x",
    ],
)
def test_time_grows_with_the_length_of_a_text_and_no_faster(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert seconds_of(text) < max(5, 30 * seconds_of(text[: len(text) // 10]))
