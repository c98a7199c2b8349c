"""Numbered passages in a prompt, and which of their sentences answers a question."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEAD = re.compile(r"^\[(\d{1,4})\]\s*(.*)$")
_OPENING = re.compile(r"^<([\w-]+)>$")
_CLOSING = re.compile(r"^</[\w-]+>$")
_NO_SENTENCE = re.compile(r"^\s*$|^#")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+|^\|\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
_ENOUGH_COMMON_WORDS = 2
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a about all am an and any are as at be been but by can could did do does for from get "
        "had has have how i if in into is it its me my no not of on or our please shall should "
        "so some tell than that the their them then there these they this to us was we were "
        "what when where which who whom why will with would you your"
    ),
)


@dataclass
class Passage:
    """A passage as the prompt shows it: `[number] title`, then its lines."""

    number: int
    title: str
    lines: list[str] = field(default_factory=list)


def read(text: str) -> list[Passage]:
    """Return the passages in a message.

    A passage ends at the next one's head or at a closing mark; one between two marks of its own
    ends there only, whatever is written in it.
    """
    found: list[Passage] = []
    for passage, line in _marked(text):
        if passage is not None and passage not in found:
            found.append(passage)
        elif passage is not None:
            passage.lines.append(line)
    return found


def text_outside(text: str) -> str:
    """Return a message without its passages."""
    return "\n".join(line for passage, line in _marked(text) if passage is None).strip()


def best_sentence(question: str, passages: list[Passage]) -> str | None:
    """Return the sentence with most words of the question, and its passage's number.

    Of equals the one whose title fits better wins, then the first. None if no sentence has, with
    its title, two words in common with the question, or one if the question has but one.
    """
    wanted = _keywords(question)
    needed = min(_ENOUGH_COMMON_WORDS, len(wanted))
    best, best_score = None, (0, 0)
    for passage in passages:
        title = wanted & _keywords(passage.title)
        for sentence in _sentences(passage):
            common = wanted & _keywords(sentence)
            score = (len(common), len(title))
            if len(common | title) >= needed and common and score > best_score:
                best, best_score = f"{sentence} [{passage.number}]", score
    return best


def _marked(text: str) -> Iterator[tuple[Passage | None, str]]:
    """Yield each line with the passage that it belongs to; a passage's first line is its head."""
    passage: Passage | None = None
    fence: str | None = None
    is_first = False
    for line in text.splitlines():
        if fence is not None:
            if line == fence:
                passage, fence = None, None
            else:
                yield passage, line
        elif head := _HEAD.match(line):
            passage = Passage(int(head[1]), head[2].strip())
            is_first = True
            yield passage, line
            continue
        elif is_first and (opening := _OPENING.match(line)):
            fence = f"</{opening[1]}>"
        elif _CLOSING.match(line):
            passage = None
        elif not _OPENING.match(line):
            yield passage, line
        is_first = False


def _sentences(passage: Passage) -> Iterator[str]:
    """Yield the sentences of paragraphs and list items, over the ends of lines; no headings."""
    block: list[str] = []
    for line in [*passage.lines, ""]:
        is_between, text = _NO_SENTENCE.match(line), _LIST_ITEM.sub("", line)
        if is_between or text != line:
            yield from _split(block)
            block = []
        if not is_between:
            block.append(text.strip())


def _split(block: list[str]) -> Iterator[str]:
    text = " ".join(block).strip()
    yield from (sentence for sentence in _SENTENCE_END.split(text) if sentence)


def _keywords(text: str) -> set[str]:
    words = {word.casefold() for word in _WORD.findall(text)}
    # Reason: so that "trains" and "train" are one; it need not be right, only the same each time.
    return {word.removesuffix("s") for word in words - _STOP_WORDS}
