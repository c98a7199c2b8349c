"""A request and its answer, in words that belong to no provider."""

from dataclasses import dataclass, field
from typing import Any


class BadRequestError(Exception):
    """The request has not the shape that the provider wants."""


@dataclass(frozen=True)
class Turn:
    """One message.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        text: Its content.
        tool_arguments: Arguments of the tool calls in it.
    """

    role: str
    text: str
    tool_arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A tool on offer."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A whole request.

    Args:
        schema: What the answer must look like; `{}` is any JSON object, None any text.
        tool_choice: `auto`, `none`, `required` or the name of a tool.
        includes_usage: Whether the stream ends with its usage.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    is_stream: bool = False
    max_tokens: int | None = None
    schema: dict[str, Any] | None = None
    tool_choice: str = "auto"
    includes_usage: bool = False


@dataclass(frozen=True)
class Call:
    """A tool call in an answer; the arguments are JSON text, well formed or not."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Step:
    """One token of an answer: of its text, or of its tool call number `index`.

    Args:
        piece: What is added; empty at the head of a tool call.
        index: Which tool call; None for text.
        head: The tool call that begins here.
    """

    piece: str
    index: int | None = None
    head: Call | None = None


@dataclass(frozen=True)
class Answer:
    """What the model says."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """An error that is answered.

    Args:
        status: Of the answer.
        message: The words of it.
        code: The provider's name of it.
        param: The parameter that it names.
        is_flat: Whether it comes as vLLM's and Mistral's do, without `error` around it.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    is_flat: bool = False


@dataclass(frozen=True)
class Usage:
    """What a call has cost so far."""

    prompt_tokens: int
    completion_tokens: int
