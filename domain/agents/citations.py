"""Citations: the documents that an answer names by passage numbers. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.base import Frozen
from domain.knowledge.documents import Passage

_MARK = re.compile(r"\[(\d{1,6}(?:, ?\d{1,6})*)\]")
EXCERPT_LENGTH = 300


class CitedPassage(Frozen):
    """A passage that was shown to the model under a number.

    Args:
        number: Number in the prompt; within a conversation it never means another passage.
        document_id: Document that contains the passage.
        chunk_index: Index of the passage in the document; None in rows of older releases.
        page_number: Page on which the passage begins; None in documents without pages.
        title: Title of the document.
        text: Text of the passage.
        suspicions: Names of patterns in the text that look like instructions to the model.
    """

    number: int
    document_id: UUID
    chunk_index: int | None = None
    page_number: int | None = None
    title: str
    text: str
    suspicions: tuple[str, ...] = ()


class Citation(Frozen):
    """A document that an answer refers to, and the page on which the excerpt begins."""

    document_id: UUID
    excerpt: str
    page_number: int | None = None


PassageKey = tuple[UUID, int | None]


def number_passages(
    found: Iterable[Passage],
    known: Mapping[int, PassageKey],
) -> dict[int, Passage]:
    """Number passages; a passage that was shown before keeps its number.

    Reason: earlier answers stay in the prompt with their citation marks, and models repeat them.

    Args:
        found: Passages that retrieval found, the best first.
        known: Numbers used in the conversation so far, with their passages.

    Returns:
        The passages by their numbers, the best first.
    """
    numbers = {key: number for number, key in known.items()}
    following = max(known, default=0) + 1
    numbered: dict[int, Passage] = {}
    for passage in found:
        number = numbers.get((passage.document_id, passage.chunk_index), following)
        numbered[number] = passage
        following = max(following, number + 1)
    return numbered


def adopt_passages(
    text: str, brought: Sequence[CitedPassage], known: Sequence[CitedPassage]
) -> tuple[str, list[CitedPassage]]:
    """Put a text of another run, and the passages that it cites, under this run's numbers.

    Args:
        text: Text with marks such as `[1]`.
        brought: Passages of the other run.
        known: Passages of this run so far.

    Returns:
        The text with this run's numbers, and this run's passages; one that is known already keeps
        its number, and one that the text does not cite is left out.
    """
    cited = {int(each) for mark in _MARK.findall(text) for each in mark.split(",")}
    numbers = {(each.document_id, each.chunk_index): each.number for each in known}
    merged, changed = list(known), dict[int, int]()
    for passage in brought:
        if passage.number not in cited:
            continue
        key = (passage.document_id, passage.chunk_index)
        if key not in numbers:
            numbers[key] = max(numbers.values(), default=0) + 1
            merged.append(passage.model_copy(update={"number": numbers[key]}))
        changed[passage.number] = numbers[key]

    def renumber(mark: re.Match[str]) -> str:
        wanted = [changed[int(each)] for each in mark[1].split(",") if int(each) in changed]
        # Reason: a number that names no passage there must not name one here.
        return f"[{', '.join(map(str, wanted))}]" if wanted else ""

    return _MARK.sub(renumber, text), merged


def cite(answer: str, passages: Sequence[CitedPassage]) -> tuple[Citation, ...]:
    """Return the documents that an answer cites, each once, in the order of first mention.

    Args:
        answer: Text with marks such as `[1]` or `[1, 2]`; unknown numbers are ignored.
        passages: Passages that were shown to the model.
    """
    shown = {passage.number: passage for passage in passages}
    found: dict[UUID, Citation] = {}
    for number in (int(each) for mark in _MARK.findall(answer) for each in mark.split(",")):
        passage = shown.get(number)
        if passage is not None and passage.document_id not in found:
            excerpt = passage.text[:EXCERPT_LENGTH]
            found[passage.document_id] = Citation(
                document_id=passage.document_id,
                excerpt=excerpt,
                page_number=passage.page_number,
            )
    return tuple(found.values())
