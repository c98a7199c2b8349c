"""Schemas of the feedback on runs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import MASKED, NOT_BLANK, Input, Output
from database.agents.feedback import FeedbackSummary
from database.agents.models import RunFeedback

Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NOT_BLANK), MASKED]


class FeedbackIn(Input):
    """What a user thinks of a run's answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"score": 1, "label": "helpful"}]})

    score: float = Field(ge=-1, le=1, allow_inf_nan=False, description="From -1, bad, to 1, good.")
    label: Label | None = None


class FeedbackOut(Output):
    """What a user thinks of a run's answer, with the prompt and the cost of the run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_feedback_id": "2b7c1a90-3d4e-4f5a-8b6c-7d8e9f0a1b2c",
                    "agent_run_id": "3c2d51f0-8a4e-4b7f-9c1d-6e2f7a8b9c0d",
                    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
                    "agent": "research",
                    "prompt_version": "v1",
                    "score": 1,
                    "label": "helpful",
                    "cost_cents": 0.0912,
                    "created_at": "2026-11-23T09:00:00Z",
                }
            ]
        }
    )

    run_feedback_id: UUID
    agent_run_id: UUID
    user_id: UUID
    agent: str
    prompt_version: str
    score: float
    label: str | None
    cost_cents: float
    created_at: datetime

    @classmethod
    def of(cls, row: RunFeedback) -> "FeedbackOut":
        """Render a row."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class PromptFeedbackOut(Output):
    """The feedback on all runs of one version of an agent's prompt."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prompt_version": "v1",
                    "feedback_count": 41,
                    "mean_score": 0.62,
                    "mean_cost_cents": 0.11,
                }
            ]
        }
    )

    prompt_version: str
    feedback_count: int
    mean_score: float
    mean_cost_cents: float

    @classmethod
    def of(cls, summary: FeedbackSummary) -> "PromptFeedbackOut":
        """Render a summary."""
        return cls(**{**summary._asdict(), "mean_cost_cents": float(summary.mean_cost_cents)})
