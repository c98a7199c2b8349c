"""Scripted replies: what a test may order of the next model calls."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.llm.behaviours import NAMES
from sandbox.llm.conversation import Answer, Call
from sandbox.llm.tokens import pieces

_FILLER = "lorem"


class ScriptedCall(BaseModel):
    """A tool call; arguments that are a string are sent as they are, malformed or not."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None


class Item(BaseModel):
    """One reply; what it leaves open is as without a script."""

    model_config = ConfigDict(extra="forbid")

    match: str | None = Field(default=None, min_length=1)
    path: str | None = None
    repeat: int = Field(default=1, ge=1)

    text: str | None = None
    token_count: int | None = Field(default=None, ge=0, le=100_000)
    tool_calls: list[ScriptedCall] = []
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
    token_seconds: float | None = Field(default=None, ge=0)
    timed: bool = False

    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    message: str | None = None
    code: str | None = None
    delay_seconds: float = Field(default=0, ge=0)
    disconnect_after: int | None = Field(default=None, ge=0)
    no_finish_reason: bool = False

    behaviour: str | None = None
    window: int = Field(default=8_192, ge=1)

    @field_validator("behaviour")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in NAMES:
            raise ValueError(f"there is no behaviour {name}; there are: {', '.join(sorted(NAMES))}")
        return name

    def answer(self) -> Answer | None:
        """Return the scripted answer; None leaves it to the rules."""
        if self.text is None and self.token_count is None and not self.tool_calls:
            return None
        text = self.text or ""
        if self.token_count is not None:
            text = _stretched(text or _FILLER, self.token_count)
        return Answer(text, [_call(call) for call in self.tool_calls])

    def retry_headers(self) -> dict[str, str]:
        """Return the header that says when to come again, if one is ordered."""
        return {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}


class Script(BaseModel):
    """What `POST /_sandbox/script` takes."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Item], Field(min_length=1)]


def _call(scripted: ScriptedCall) -> Call:
    given = scripted.arguments
    text = given if isinstance(given, str) else orjson.dumps(given).decode()
    return Call(scripted.name, text, scripted.id)


def _stretched(text: str, token_count: int) -> str:
    """Cut a text, or say it again and again, until it has exactly so many tokens."""
    once = pieces(text.rstrip() or _FILLER)
    again = [f" {once[0].lstrip()}", *once[1:]]
    rounds = token_count // len(once)
    return "".join([*once, *again * rounds][:token_count])
