"""Splits a document's text into passages that an embedding model can read."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from domain.errors import InvalidInputError

PASSAGE_WORDS = 200
# Reason: the small embedding model reads 256 word pieces; two of them mark begin and end.
PASSAGE_PIECES = 254
OVERLAP_WORDS = 20
# Reason: a megabyte of prose makes about 900; the embedding model is there for everybody.
MAX_PASSAGES = 3_000
# Reason: a heading with a line says too little for a passage of its own; neighbours share one.
SMALL_WORDS = 20
# Reason: headings above a passage tell what it is about, but must leave room for it.
HEADING_PIECES = 48
_WORD = re.compile(r"\S+")
_HEADING = re.compile(r"(#{1,6})[ \t]+\S")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
PieceCounts = Callable[[Sequence[str]], Sequence[int]]


class Chunk(NamedTuple):
    """A part of a text that is embedded as one.

    Args:
        context: The headings above it that are not in the body, each on a line.
        body: A piece of the text as it stands there.
        start: Where in the text the body begins.
    """

    context: str
    body: str
    start: int

    @property
    def text(self) -> str:
        """Both together."""
        return f"{self.context}\n\n{self.body}" if self.context else self.body


def check_passage_count(count: int) -> None:
    """Refuse a document that makes more passages than one may have.

    Raises:
        InvalidInputError: With both numbers.
    """
    if count > MAX_PASSAGES:
        raise InvalidInputError(
            f"the document makes {count} passages; {MAX_PASSAGES} is the most",
            "document_too_many_passages",
            {"passage_count": count, "limit": MAX_PASSAGES},
        )


class _Heading(NamedTuple):
    place: int
    end: int
    level: int
    title: str


class _Section(NamedTuple):
    start: int
    end: int
    level: int
    is_bare: bool
    above: tuple[str, ...]
    path: tuple[str, ...]


class _Word(NamedTuple):
    start: int
    end: int
    pieces: int


def split_text(
    text: str,
    count_pieces: PieceCounts,
    max_pieces: int = PASSAGE_PIECES,
) -> list[Chunk]:
    """Cut plain text or Markdown into passages, along its headings and paragraphs.

    Small sections share a passage. Neighbours within a section overlap a little. Words stay whole;
    only what alone is longer than a passage, such as text that knows no spaces, is cut within.

    Args:
        text: What to cut.
        count_pieces: Tells how many pieces an embedding model makes of each of some words.
        max_pieces: A passage has no more of them, its context included.

    Returns:
        The passages in order; none for a text without words.
    """
    chunks: list[Chunk] = []
    for section in _merged(text, _sections(text)):
        most = max_pieces - (HEADING_PIECES if section.path else 0)
        words = _words(text, section, count_pieces, most)
        headings = section.above
        for first, last in _windows(text, words, most):
            context = _context(headings, count_pieces)
            start, end = words[first].start, words[last - 1].end
            chunks.append(Chunk(context, text[start:end], start))
            headings = section.path
    return chunks


def _sections(text: str) -> list[_Section]:
    """Cut before every heading; one with nothing below it stays with its first subheading."""
    headings = list(_headings(text))
    borders = [heading.place for heading in headings] + [len(text)]
    sections = [_Section(0, borders[0], 0, False, (), ())]
    path: dict[int, str] = {}
    for heading, end in zip(headings, borders[1:], strict=True):
        path = {level: title for level, title in path.items() if level < heading.level}
        above = tuple(path.values())
        path[heading.level] = heading.title
        start, before = heading.place, sections[-1]
        if before.is_bare and before.level < heading.level:
            start, above = before.start, before.above
            sections.pop()
        is_bare = not text[heading.end : end].strip()
        whole = tuple(path.values())
        sections.append(_Section(start, end, heading.level, is_bare, above, whole))
    return sections


def _merged(text: str, sections: Sequence[_Section]) -> list[_Section]:
    """Join neighbours that are small, up to the length of a passage."""
    merged: list[_Section] = []
    joined = PASSAGE_WORDS  # how many words the last one has, if more may be joined to it
    for section in sections:
        count = len(text[section.start : section.end].split())
        if count < SMALL_WORDS and joined + count <= PASSAGE_WORDS and merged:
            first = merged.pop()
            merged.append(first._replace(end=section.end, path=first.above))
            joined += count
        else:
            merged.append(section)
            joined = count if count < SMALL_WORDS else PASSAGE_WORDS
    return merged


def _headings(text: str) -> Iterator[_Heading]:
    place, fence = 0, ""
    for line in text.splitlines(keepends=True):
        mark, end = _FENCE.match(line), place + len(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence and (heading := _HEADING.match(line)):
            yield _Heading(place, end, len(heading[1]), line.strip())
        place = end


def _context(headings: Sequence[str], count_pieces: PieceCounts) -> str:
    """Return the nearest headings that there is room for."""
    kept: list[str] = []
    room = HEADING_PIECES
    for heading in reversed(headings):
        room -= sum(count_pieces(heading.split()))
        if room < 0:
            break
        kept.insert(0, heading)
    return "\n".join(kept)


def _words(text: str, section: _Section, count_pieces: PieceCounts, most: int) -> list[_Word]:
    spans = [found.span() for found in _WORD.finditer(text, section.start, section.end)]
    words: list[_Word] = []
    while spans:
        counts = count_pieces([text[start:end] for start, end in spans])
        is_whole = [
            count <= most or end - start == 1
            for count, (start, end) in zip(counts, spans, strict=True)
        ]
        whole = zip(spans, counts, is_whole, strict=True)
        words += [_Word(*span, min(count, most)) for span, count, fits in whole if fits]
        long = [span for span, fits in zip(spans, is_whole, strict=True) if not fits]
        middles = [(start, (start + end) // 2, end) for start, end in long]
        spans = [half for a, b, c in middles for half in ((a, b), (b, c))]
    return sorted(words)


def _windows(text: str, words: Sequence[_Word], most: int) -> Iterator[tuple[int, int]]:
    """Yield from which word to before which word each passage goes."""
    first = covered = 0
    while covered < len(words):
        last, room = first, most
        while last < len(words) and last < first + PASSAGE_WORDS and words[last].pieces <= room:
            room -= words[last].pieces
            last += 1
        if last < len(words):
            earliest = max(covered + 1, (first + last) // 2)
            last = _good_end(text, words, earliest, last)
        yield first, last
        covered = last
        if covered < len(words):
            first = _step_back(words, first, covered, most)


def _good_end(text: str, words: Sequence[_Word], earliest: int, last: int) -> int:
    """Return the last end of a paragraph, else of a sentence or line, else the last word."""
    for end in (_PARAGRAPH_END, _SENTENCE_END):
        for index in range(last, earliest - 1, -1):
            if end.search(text, words[index - 1].end - 1, words[index].start):
                return index
    return last


def _step_back(words: Sequence[_Word], before: int, covered: int, most: int) -> int:
    """Return where the passage after the one from `before` to `covered` begins.

    It overlaps, but not with the whole of it, and has room for at least one word more.
    """
    room = min(most // 4, most - words[covered].pieces)
    first = covered
    while first > max(before + 1, covered - OVERLAP_WORDS):
        room -= words[first - 1].pieces
        if room < 0:
            break
        first -= 1
    return first
