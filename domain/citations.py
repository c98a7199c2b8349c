"""Which documents an answer names, by the numbers that the model was shown. Pure."""

import re
from collections.abc import Sequence
from uuid import UUID

from domain.messages import Frozen

_MARK = re.compile(r"\[(\d{1,3}(?:, ?\d{1,3})*)\]")
EXCERPT_LENGTH = 300


class CitedPassage(Frozen):
    """A passage that the model could name.

    Args:
        number: As shown to the model.
        document_id: Where it stands.
        title: Of the document.
        text: The passage itself.
        suspicions: What in it looks like an instruction to the model.
    """

    number: int
    document_id: UUID
    title: str
    text: str
    suspicions: tuple[str, ...] = ()


class Citation(Frozen):
    """One document that an answer rests on."""

    document_id: UUID
    excerpt: str


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
