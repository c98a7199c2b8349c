"""Cutting documents: nothing is lost, limits hold, headings stay with their text."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.knowledge.chunking import (
    HEADING_PIECES,
    MAX_PASSAGES,
    OVERLAP_WORDS,
    PASSAGE_WORDS,
    SMALL_WORDS,
    Chunk,
    check_passage_count,
    split_text,
)
from domain.knowledge.documents import check_text

ROOT = Path(__file__).parents[3]
MOST = 100

lines = st.one_of(
    st.text(alphabet="ab \n.#`~\t", max_size=300),
    st.sampled_from(["# One", "## Two", "### Three", "```", "~~~~", "", "word " * 30, "x" * 700]),
    st.text(max_size=60),
)
texts = st.lists(lines, max_size=25).map("\n".join)


def pieces(words: Sequence[str]) -> list[int]:
    """Count as WordPiece might: one piece for every four letters."""
    return [-(-len(word) // 4) for word in words]


def total(text: str) -> int:
    return sum(pieces(text.split()))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@settings(max_examples=200)
@given(texts)
def test_nothing_is_lost_and_limits_hold(text: str) -> None:
    chunks = split_text(text, pieces, MOST)
    covered = last_start = -1
    for chunk in chunks:
        end = chunk.start + len(chunk.body)
        assert text[chunk.start : end] == chunk.body == chunk.body.strip() != ""
        assert not text[max(covered, 0) : chunk.start].strip()
        assert chunk.start > last_start
        assert end > covered
        assert total(chunk.context) <= HEADING_PIECES
        assert total(chunk.text) <= MOST
        assert len(chunk.body.split()) <= PASSAGE_WORDS
        covered, last_start = end, chunk.start
    assert not text[max(covered, 0) :].strip()


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=12), max_size=900))
def test_words_stay_whole(words: list[str]) -> None:
    chunks = split_text(" ".join(words), pieces, MOST)
    said: list[str] = []
    for chunk in chunks:
        body = chunk.body.split()
        overlap = next(
            size
            for size in range(min(OVERLAP_WORDS, len(said), len(body)), -1, -1)
            if said[len(said) - size :] == body[:size] and is_next(words, said, body[size:])
        )
        said += body[overlap:]
    assert said == words


def is_next(words: list[str], said: list[str], rest: list[str]) -> bool:
    return bool(rest) and words[len(said) : len(said) + len(rest)] == rest


def test_neighbours_overlap_a_little() -> None:
    words = [f"w{number}" for number in range(500)]
    chunks = split_text(" ".join(words), pieces, 1_000)
    assert [len(chunk.body.split()) for chunk in chunks] == [200, 200, 140]
    assert chunks[1].body.split()[:OVERLAP_WORDS] == chunks[0].body.split()[-OVERLAP_WORDS:]


def test_a_passage_ends_with_a_paragraph_if_it_can() -> None:
    paragraph = " ".join(f"w{number}" for number in range(150))
    chunks = split_text(f"{paragraph}\n\n{paragraph}", pieces, 1_000)
    assert chunks[0].body == paragraph
    assert chunks[1].body.endswith(f"\n\n{paragraph}")
    sentence = " ".join(f"w{number}" for number in range(149)) + " end."
    assert split_text(f"{sentence} {paragraph}", pieces, 1_000)[0].body == sentence


def test_headings_stay_with_their_text() -> None:
    intro, bee, sea, dee, no = (f"{name} " * SMALL_WORDS for name in ("in", "b", "c", "d", "# no"))
    text = f"{intro}\n\n# A\n\n## B\n{bee}\n### C\n{sea}\n## D\n{dee}\n# E\n```\n{no}\n```\n"
    chunks = split_text(text, pieces)
    assert [(chunk.context, chunk.body) for chunk in chunks] == [
        ("", intro.strip()),
        ("", f"# A\n\n## B\n{bee}".strip()),
        ("# A\n## B", f"### C\n{sea}".strip()),
        ("# A", f"## D\n{dee}".strip()),
        ("", f"# E\n```\n{no}\n```"),
    ]


def test_small_sections_share_a_passage() -> None:
    large = "word " * SMALL_WORDS
    text = f"intro\n# A\none\n## B\ntwo\n# C\n{large}\n## D\nthree\n## E\nfour\n"
    assert [(chunk.context, chunk.body) for chunk in split_text(text, pieces)] == [
        ("", "intro\n# A\none\n## B\ntwo"),
        ("", f"# C\n{large}".strip()),
        ("# C", "## D\nthree\n## E\nfour"),
    ]


@pytest.mark.parametrize("line", ["# a\n", "# a\nb\n", "# a\n\n## b\n", "- a\n\n"])
def test_headings_make_no_more_passages_than_words(line: str) -> None:
    """20 KB of them, and as many words without any heading."""
    text = line * (20_000 // len(line))
    plain = re.sub(r"\s+", " ", text.replace("#", "x"))
    assert len(split_text(text, pieces)) <= len(split_text(plain, pieces)) <= 60


def test_a_document_has_so_many_passages_at_the_most() -> None:
    check_passage_count(MAX_PASSAGES)
    with pytest.raises(InvalidInputError) as caught:
        check_passage_count(MAX_PASSAGES + 1)
    assert caught.value.error_code == "document_too_many_passages"
    assert str(MAX_PASSAGES) in caught.value.message
    assert str(MAX_PASSAGES + 1) in caught.value.message


def test_later_passages_of_a_section_know_its_headings() -> None:
    body = " ".join(f"w{number}" for number in range(400))
    first, *others = split_text(f"# A\n## B\n{body}", pieces)
    assert (first.context, first.body.splitlines()[:2]) == ("", ["# A", "## B"])
    assert {chunk.context for chunk in others} == {"# A\n## B"}
    assert others[0].text.startswith("# A\n## B\n\n")


def test_a_bare_heading_at_the_end_is_kept() -> None:
    assert split_text("# A\n\n# B\n", pieces) == [Chunk("", "# A\n\n# B", 0)]


def test_a_heading_too_long_for_a_context_is_left_out_there() -> None:
    long = f"# {'heading ' * 60}".strip()
    chunks = split_text(f"{long}\n## B\nbee\n### C\nsea", pieces)
    assert [chunk.context for chunk in chunks][-1] == "## B"
    assert squeezed(chunks[0].body) == squeezed(f"{long}## Bbee")


def test_text_without_spaces_is_cut() -> None:
    text = "漢" * 5_000
    chunks = split_text(text, lambda words: [len(word) for word in words])
    assert "".join(chunk.body for chunk in chunks).count("漢") >= len(text)
    assert all(len(chunk.body) <= 254 for chunk in chunks)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" \n", "document_empty"),
        ("a\0b", "document_not_text"),
        ("ü" * 6, "document_too_large"),
        ("a\ud800b", "document_not_text"),
        ("ü" * 5, None),
    ],
)
def test_what_cannot_be_read_is_named(text: str, code: str | None) -> None:
    if code is None:
        check_text(text, 10)
        return
    with pytest.raises(InvalidInputError) as caught:
        check_text(text, 10)
    assert caught.value.error_code == code


def test_no_words_are_no_passages() -> None:
    assert split_text("", pieces) == []
    assert split_text(" \n\t ", pieces) == []


def test_this_projects_own_documents() -> None:
    text = (ROOT / "README.md").read_text()
    chunks = split_text(text, pieces)
    assert chunks[0].body.startswith("# ")
    assert all("#" in chunk.text for chunk in chunks)
