"""Splits the text of a document into passages that an embedding model can read."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from domain.errors import InvalidInputError

PASSAGE_WORDS = 200
# Reason: the small embedding model reads 256 word pieces, two of which mark start and end.
PASSAGE_PIECES = 254
OVERLAP_WORDS = 20
# Reason: a megabyte of prose makes about 900, and all users share the embedding model.
MAX_PASSAGES = 3_000
# Reason: a heading with one line says too little for its own passage; small sections share one.
SMALL_WORDS = 20
# Reason: the headings above a passage give its topic, but must leave room for its text.
HEADING_PIECES = 48
_WORD = re.compile(r"\S+")
_HEADING = re.compile(r"(#{1,6})[ \t]+\S")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
PieceCounts = Callable[[Sequence[str]], Sequence[int]]


class Chunk(NamedTuple):
    """A passage: a part of a text that is embedded as a whole.

    Args:
        context: Headings above the passage that are not in the body, one per line.
        body: Unchanged part of the text.
        start: Offset in the text at which the body begins.
    """

    context: str
    body: str
    start: int

    @property
    def text(self) -> str:
        """Context and body together."""
        return f"{self.context}\n\n{self.body}" if self.context else self.body


def check_passage_count(count: int) -> None:
    """Refuse a document that has too many passages.

    Raises:
        InvalidInputError: There are too many; `details` has the count and the limit.
    """
    if count > MAX_PASSAGES:
        raise InvalidInputError(
            f"the document has {count} passages; at most {MAX_PASSAGES} are allowed",
            "document_too_many_passages",
            {"passage_count": count, "limit": MAX_PASSAGES},
        )


class _Heading(NamedTuple):
    start: int
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
    count_tokens: PieceCounts,
    max_pieces: int = PASSAGE_PIECES,
) -> list[Chunk]:
    """Split plain text or Markdown into passages, along its headings and paragraphs.

    Small sections share a passage. Neighbouring passages of a section overlap a little. Only a
    word longer than a passage is cut, such as text of a script without spaces.

    Args:
        text: Text to split.
        count_tokens: Returns the number of word pieces of each of several words.
        max_pieces: Most word pieces of a passage, including its context.

    Returns:
        The passages in order; none for a text without words.
    """
    chunks: list[Chunk] = []
    for section in _merged(text, _sections(text)):
        most = max_pieces - (HEADING_PIECES if section.path else 0)
        words = _words(text, section, count_tokens, most)
        headings = section.above
        for first, last in _windows(text, words, most):
            context = _context(headings, count_tokens)
            start, end = words[first].start, words[last - 1].end
            chunks.append(Chunk(context, text[start:end], start))
            headings = section.path
    return chunks


def _sections(text: str) -> list[_Section]:
    """Split before every heading; an empty section is joined with its first subsection."""
    headings = list(_headings(text))
    borders = [heading.start for heading in headings] + [len(text)]
    sections = [_Section(0, borders[0], 0, False, (), ())]
    path: dict[int, str] = {}
    for heading, end in zip(headings, borders[1:], strict=True):
        path = {level: title for level, title in path.items() if level < heading.level}
        above = tuple(path.values())
        path[heading.level] = heading.title
        start, before = heading.start, sections[-1]
        if before.is_bare and before.level < heading.level:
            start, above = before.start, before.above
            sections.pop()
        is_bare = not text[heading.end : end].strip()
        whole = tuple(path.values())
        sections.append(_Section(start, end, heading.level, is_bare, above, whole))
    return sections


def _merged(text: str, sections: Sequence[_Section]) -> list[_Section]:
    """Join small neighbouring sections, up to the length of a passage."""
    merged: list[_Section] = []
    joined = PASSAGE_WORDS  # words of the last section, if more may be joined to it
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
    start, fence = 0, ""
    for line in text.splitlines(keepends=True):
        mark, end = _FENCE.match(line), start + len(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence and (heading := _HEADING.match(line)):
            yield _Heading(start, end, len(heading[1]), line.strip())
        start = end


def _context(headings: Sequence[str], count_tokens: PieceCounts) -> str:
    """Return the nearest headings that fit, one per line."""
    kept: list[str] = []
    room = HEADING_PIECES
    for heading in reversed(headings):
        room -= sum(count_tokens(heading.split()))
        if room < 0:
            break
        kept.insert(0, heading)
    return "\n".join(kept)


def _words(text: str, section: _Section, count_tokens: PieceCounts, most: int) -> list[_Word]:
    spans = [found.span() for found in _WORD.finditer(text, section.start, section.end)]
    words: list[_Word] = []
    while spans:
        counts = count_tokens([text[start:end] for start, end in spans])
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
    """Yield the first word of each passage and the word after its last, as indexes."""
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
    """Return the best end of a passage: of a paragraph, else of a sentence or line, else `last`."""
    for end in (_PARAGRAPH_END, _SENTENCE_END):
        for index in range(last, earliest - 1, -1):
            if end.search(text, words[index - 1].end - 1, words[index].start):
                return index
    return last


def _step_back(words: Sequence[_Word], before: int, covered: int, most: int) -> int:
    """Return the first word of the passage that follows the one from `before` to `covered`.

    The two overlap in part, and the new passage has room for at least one more word.
    """
    room = min(most // 4, most - words[covered].pieces)
    first = covered
    while first > max(before + 1, covered - OVERLAP_WORDS):
        room -= words[first - 1].pieces
        if room < 0:
            break
        first -= 1
    return first
