"""Files of runs: their names, media types and limits, and how their text is read in parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents.artifacts import (
    MAX_FILE_BYTES,
    MAX_RUN_BYTES,
    MAX_RUN_FILE_COUNT,
    MEDIA_TYPES,
    ArtifactTotals,
    NewArtifact,
    check_artifacts,
    read_page,
    text_of,
)
from domain.errors import InvalidInputError

NOTHING = ArtifactTotals(0, 0)


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.csv", b"1,2", "text/csv"),
        ("A.CSV", b"1,2", "text/csv"),
        ("a.json", b"{}", "application/json"),
        ("a.md", b"# x", "text/markdown"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("a.py", b"x = 1", "text/plain"),
        ("a.html", b"<script>alert(1)</script>", "text/plain"),
        ("a.svg", b"\xff\xfe", "application/octet-stream"),
        ("a.txt", b"a\0b", "application/octet-stream"),
        ("a.txt", b"", "text/plain"),
    ],
)
def test_the_media_type_runs_nothing(name: str, content: bytes, media_type: str) -> None:
    assert NewArtifact(name, content).media_type == media_type
    assert media_type in MEDIA_TYPES


@pytest.mark.parametrize("name", ["a", "a.py", "Report_2026-11.v2.csv", "9", "x" * 100])
def test_names_that_are_taken(name: str) -> None:
    check_artifacts([NewArtifact(name, b"x")], NOTHING)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".env", "a/b", "a\\b", "a b", 'a"b', "a\n", "a;b", "ä", "-a", "x" * 101],
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_artifacts([NewArtifact(name, b"x")], NOTHING)
    assert refused.value.error_code == "artifact_name_invalid"


@pytest.mark.parametrize(
    ("sizes", "stored", "code"),
    [
        ([MAX_FILE_BYTES], NOTHING, None),
        ([MAX_FILE_BYTES + 1], NOTHING, "artifact_too_large"),
        ([1], ArtifactTotals(MAX_RUN_FILE_COUNT - 1, 0), None),
        ([1], ArtifactTotals(MAX_RUN_FILE_COUNT, 0), "too_many_artifacts"),
        ([1, 1], ArtifactTotals(MAX_RUN_FILE_COUNT - 1, 0), "too_many_artifacts"),
        ([5], ArtifactTotals(1, MAX_RUN_BYTES - 5), None),
        ([6], ArtifactTotals(1, MAX_RUN_BYTES - 5), "artifacts_too_large"),
        ([3, 3], ArtifactTotals(1, MAX_RUN_BYTES - 5), "artifacts_too_large"),
        ([], ArtifactTotals(MAX_RUN_FILE_COUNT, MAX_RUN_BYTES), None),
    ],
)
def test_limits(sizes: list[int], stored: ArtifactTotals, code: str | None) -> None:
    files = [NewArtifact(f"f{index}", b"x" * size) for index, size in enumerate(sizes)]
    if code is None:
        check_artifacts(files, stored)
        return
    with pytest.raises(InvalidInputError) as refused:
        check_artifacts(files, stored)
    assert refused.value.error_code == code


@given(st.text(max_size=200), st.integers(1, 60))
def test_a_text_is_read_whole_by_parts(text: str, length: int) -> None:
    parts, offset = [], 0
    while True:
        page = read_page(text, offset, length)
        assert page.character_count == len(text)
        parts.append(page.text)
        if page.next_offset is None:
            break
        assert page.next_offset > offset
        offset = page.next_offset
    assert "".join(parts) == text
    beyond = read_page(text, len(text) + 5, length)
    assert (beyond.text, beyond.next_offset) == ("", None)


def test_text_is_what_is_utf_8_without_nul() -> None:
    assert text_of("grün".encode()) == "grün"
    assert text_of("grün".encode("latin-1")) is None
    assert text_of(b"a\0") is None
