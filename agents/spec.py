"""Spec of an agent: the schema of the files in `agents/specs`."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.agents.patterns import DELEGATE, MODEL_PLANNED, PatternName
from domain.agents.routes import DEFAULT_PATTERN, TeamRules
from domain.base import Duration
from domain.llm.messages import Difficulty

# The longest time to live of a cached answer.
MAX_TTL_HOURS = 30 * 24
# Patterns in which the answer of a team is the answer of one of its members.
_ANSWERED_BY_MEMBERS = frozenset({PatternName.PIPELINE, PatternName.PEER_TO_PEER})


class CacheRules(BaseModel):
    """How long an answer is given again to the same user, without a call of the model.

    Args:
        ttl_hours: Hours from the answer of the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_hours: int = Field(ge=1, le=MAX_TTL_HOURS)


class AgentSpec(BaseModel):
    """Spec of one agent, read from its file in `agents/specs`.

    Args:
        name: Name of the agent and of its file.
        description: Description for people.
        kind: Kind of agent that gives the values of fields which the file leaves out.
        pattern: Name of the graph that runs its steps, in `workflows/agents/graphs`.
        prompt_version: Version in `agents/prompts/{name}/{version}.md` that new runs use.
        difficulty: Difficulty of its steps, by which the model is chosen.
        tools: Names of the tools that it may call.
        passage_count: Passages to retrieve before the first step; 0 for none.
        max_step_count: Most model calls of a run.
        max_answer_tokens: Most tokens that the model may write in one step.
        context_tokens: Most tokens that the model reads in one step, at the worst case.
        history_count: Most messages before the run that the model reads.
        approval_ttl: How long an approval can be decided before it expires.
        output_schema: JSON schema of the final answer, of type object; None for any text.
        repair_count: How often a run asks again for an answer that does not fit.
        cache: For how long its answers are cached; None for not at all.
        team: The agents whose runs its own run begins, and their limits; None if it works alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    description: str
    kind: str | None = None
    pattern: str = DEFAULT_PATTERN
    prompt_version: str = Field(pattern=r"^v[0-9]+$")
    difficulty: Difficulty = Difficulty.LARGE
    tools: tuple[str, ...] = ()
    passage_count: int = Field(default=4, ge=0, le=50)
    max_step_count: int = Field(default=12, ge=1, le=1_000)
    max_answer_tokens: int = Field(default=1_024, ge=16)
    context_tokens: int = Field(default=16_000, ge=1_000)
    history_count: int = Field(default=40, ge=1, le=500)
    approval_ttl: Duration = Field(default=timedelta(days=1), gt=timedelta(0))
    output_schema: dict[str, Any] | None = None
    repair_count: int = Field(default=2, ge=0, le=5)
    cache: CacheRules | None = None
    team: TeamRules | None = None

    @model_validator(mode="after")
    def _check_output_schema(self) -> "AgentSpec":
        if self.output_schema is None:
            return self
        if self.output_schema.get("type") != "object":
            raise ValueError('the output_schema must have the type "object"')
        if self.team is not None and self.pattern in _ANSWERED_BY_MEMBERS:
            raise ValueError(
                f"in the pattern {self.pattern} a member writes the answer: give it the schema"
            )
        return self

    @property
    def most_steps(self) -> int:
        """Most model calls of a run, with those that repair its answer."""
        repairs = 0 if self.output_schema is None else self.repair_count
        return self.max_step_count + repairs

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools that the agent's model may call."""
        if self.team is None or self.pattern not in MODEL_PLANNED:
            return self.tools
        return (*self.tools, DELEGATE)
