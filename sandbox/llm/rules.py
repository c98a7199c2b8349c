"""What is answered without a script: plain rules, always the same."""

import re

import orjson

from sandbox.llm import instances, passages, wishes
from sandbox.llm.conversation import Answer, Asked, Turn

NOTHING_FOUND = "I found nothing about that in the documents."
_LONGEST_RESULT = 400
_FENCE_LINE = re.compile(r"(?m)^</?[\w-]+>$")
# In this order: the first word that a tool's result contains decides how it is told.
_OUTCOMES = (
    (re.compile(r"(?i)\breject(ed|ion)?\b"), "That was rejected, so nothing was done"),
    (re.compile(r"(?i)\bexpired\b"), "Nobody decided in time and the request expired"),
    (re.compile(r"(?i)\balready[_ ]done\b"), "That had been done before"),
    (re.compile(r"(?i)\b(error|failed|refused)\b"), "That did not work"),
)


def answer(asked: Asked) -> Answer:
    """Answer a request by the rules of the README."""
    if asked.turns[-1].role == "tool":
        return _spoken(asked, _tell(_last_results(asked)))
    question = _question(asked)
    wish = wishes.find(question, asked.tools, asked.tool_choice)
    if wish.calls:
        return Answer(calls=wish.calls)
    if wish.missing:
        return _spoken(asked, f"I need {' and '.join(wish.missing)} for that.")
    return _spoken(asked, _from_passages(asked, question) or NOTHING_FOUND)


def _spoken(asked: Asked, text: str) -> Answer:
    if asked.schema is None:
        return Answer(text)
    instance = instances.smallest(asked.schema) if asked.schema else {"answer": text}
    return Answer(orjson.dumps(instance).decode())


def _question(asked: Asked) -> str:
    """Return what the user said last, without the passages that were put into it."""
    said = [turn.text for turn in asked.turns if turn.role == "user"]
    outside = [text for turn in said if (text := passages.text_outside(turn))]
    return outside[-1] if outside else ""


def _from_passages(asked: Asked, question: str) -> str | None:
    shown = [
        passage
        for turn in asked.turns
        if turn.role in {"system", "user"}
        for passage in passages.read(turn.text)
    ]
    return passages.best_sentence(question, shown)


def _last_results(asked: Asked) -> list[Turn]:
    found: list[Turn] = []
    for turn in reversed(asked.turns):
        if turn.role != "tool":
            break
        found.insert(0, turn)
    return found


def _tell(results: list[Turn]) -> str:
    return " ".join(_told(_FENCE_LINE.sub("", turn.text)) for turn in results)


def _told(result: str) -> str:
    verdict = next((words for sign, words in _OUTCOMES if sign.search(result)), "Done")
    facts = " ".join(_plain(result).split())
    if len(facts) > _LONGEST_RESULT:
        facts = f"{facts[:_LONGEST_RESULT]}…"
    return f"{verdict}: {facts}" if facts else f"{verdict}."


def _plain(result: str) -> str:
    """Return a flat JSON object as words, and anything else as it is."""
    try:
        facts = orjson.loads(result)
    except orjson.JSONDecodeError:
        return result
    if not isinstance(facts, dict) or any(isinstance(v, dict | list) for v in facts.values()):
        return result
    shown = {name: value for name, value in facts.items() if value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
