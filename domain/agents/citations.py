"""Which documents an answer names, by the numbers that the model was shown. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.base import Frozen
from domain.knowledge.documents import Passage

_MARK = re.compile(r"\[(\d{1,6}(?:, ?\d{1,6})*)\]")
EXCERPT_LENGTH = 300


class CitedPassage(Frozen):
    """A passage that the model could name.

    Args:
        number: As shown to the model; within a conversation it never means another passage.
        document_id: Where it stands.
        chunk_index: Which passage of the document; None in what older releases stored.
        title: Of the document.
        text: The passage itself.
        suspicions: What in it looks like an instruction to the model.
    """

    number: int
    document_id: UUID
    chunk_index: int | None = None
    title: str
    text: str
    suspicions: tuple[str, ...] = ()


class Citation(Frozen):
    """One document that an answer rests on."""

    document_id: UUID
    excerpt: str


PassageKey = tuple[UUID, int | None]


def number_passages(
    found: Iterable[Passage],
    known: Mapping[int, PassageKey],
) -> dict[int, Passage]:
    """Give passages their numbers: one that has been shown before keeps its own.

    Reason: earlier answers stay in the prompt with their marks, and models repeat them.

    Args:
        found: What retrieval found, the best first.
        known: What the numbers of the conversation mean so far.

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


def cite(answer: str, passages: Sequence[CitedPassage]) -> tuple[Citation, ...]:
    """Return the documents that an answer names, each once, in the order of their first mention.

    Args:
        answer: With marks such as `[1]` or `[1, 2]`; a number that nobody was shown is ignored.
        passages: What the model was shown.
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
            )
    return tuple(found.values())
