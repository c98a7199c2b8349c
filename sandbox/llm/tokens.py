"""What a token is here: up to four characters of a word, with the space before them."""

import re

import orjson

from sandbox.llm.conversation import Asked, Call, Step

TOKENS_PER_MESSAGE = 3
_PIECE = re.compile(r"\s*\S{1,4}")


def pieces(text: str) -> list[str]:
    """Split a text into its tokens; together they are the text again."""
    # Reason: white space at the end would cost the pattern the square of its length.
    body = text.rstrip()
    found = _PIECE.findall(body)
    end = text[len(body) :]
    if not found:
        return [end] if end else []
    return [*found[:-1], found[-1] + end]


def count(text: str) -> int:
    """Return the number of a text's tokens."""
    return len(pieces(text))


def prompt_tokens(asked: Asked) -> int:
    """Return what a request costs before anything is written."""
    spoken = sum(
        TOKENS_PER_MESSAGE + count(turn.text) + sum(map(count, turn.tool_arguments))
        for turn in asked.turns
    )
    offered = sum(
        count(tool.name) + count(tool.description) + count(orjson.dumps(tool.parameters).decode())
        for tool in asked.tools
    )
    return spoken + offered


def steps(text: str, calls: list[Call]) -> list[Step]:
    """Return an answer token by token; the head of a tool call, with its name, is one token."""
    found = [Step(piece) for piece in pieces(text)]
    for index, call in enumerate(calls):
        found.append(Step("", index, call))
        found += [Step(piece, index) for piece in pieces(call.arguments)]
    return found
