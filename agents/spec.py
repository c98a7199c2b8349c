"""What an agent is: one declarative file, and the prompts that it names."""

from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.base import Duration
from domain.llm.messages import Difficulty


class Pattern(StrEnum):
    """How an agent's steps are put together."""

    PIPELINE = "pipeline"


class AgentSpec(BaseModel):
    """One agent, as its file in `agents/specs` says.

    Args:
        name: The file's name.
        description: For people.
        pattern: Which graph it runs in.
        prompt_version: Which of `agents/prompts/{name}/{version}.md` new runs use.
        difficulty: Which model it needs.
        tools: Names of tools that it may call.
        passage_count: How many passages are retrieved before its first step; 0 retrieves none.
        max_step_count: Calls of the model at the most.
        max_answer_tokens: What the model may write in one step.
        context_tokens: What it gets to read in one step, at its worst case.
        history_count: How many of the messages before the run it gets to read.
        approval_ttl: How long a person may think before silence becomes a no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    description: str
    pattern: Pattern = Pattern.PIPELINE
    prompt_version: str = Field(pattern=r"^v[0-9]+$")
    difficulty: Difficulty = Difficulty.LARGE
    tools: tuple[str, ...] = ()
    passage_count: int = Field(default=4, ge=0, le=50)
    max_step_count: int = Field(default=12, ge=1, le=100)
    max_answer_tokens: int = Field(default=1_024, ge=16)
    context_tokens: int = Field(default=16_000, ge=1_000)
    history_count: int = Field(default=40, ge=1, le=500)
    approval_ttl: Duration = Field(default=timedelta(days=1), gt=timedelta(0))
