"""Schemas of the schedules that start runs."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from api.schemas.agent_runs import BudgetIn, Text
from api.schemas.common import NO_CARD, Input, Name, Output
from database.agents.models import RunSchedule
from domain.agents.runs import OnBudget

Cron = Annotated[
    str,
    StringConstraints(min_length=9, max_length=120, strip_whitespace=True),
    NO_CARD,
    Field(
        description="Minute, hour, day of the month, month, day of the week.",
        examples=["0 7 * * 1-5"],
    ),
]
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_+/-]+$"),
    Field(description="Name of a time zone.", examples=["Europe/Berlin"]),
]
_EXAMPLE: dict[str, Any] = {
    "run_schedule_id": "7a1c0b9e-2d3f-4a5b-8c6d-9e0f1a2b3c4d",
    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
    "agent": "research",
    "input": "What is new in my documents?",
    "cron": "0 7 * * 1-5",
    "time_zone": "Europe/Berlin",
    "is_active": True,
    "budget": {"token_count": 20_000, "cost_cents": None},
    "on_budget": "end",
    "last_agent_run_id": None,
    "last_error_code": None,
    "last_started_at": None,
    "created_at": "2026-11-30T09:00:00Z",
}


class NewAgentSchedule(Input):
    """A new schedule of runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent": "research",
                    "input": "What is new in my documents?",
                    "cron": "0 7 * * 1-5",
                    "time_zone": "Europe/Berlin",
                }
            ]
        }
    )

    agent: Name
    input: Text
    cron: Cron
    time_zone: TimeZone = "UTC"
    budget: BudgetIn = BudgetIn()
    on_budget: OnBudget = OnBudget.END
    is_active: StrictBool = True
    user_id: UUID | None = Field(default=None, description="For administrators: the runs' owner.")


class AgentScheduleChangeIn(Input):
    """A change of a schedule; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    input: Text | None = None
    cron: Cron | None = None
    time_zone: TimeZone | None = None
    is_active: StrictBool | None = Field(default=None, description="False skips its times.")


class AgentScheduleOut(Output):
    """A schedule of runs. Each run has a conversation of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    run_schedule_id: UUID
    user_id: UUID
    agent: str
    input: str
    cron: str
    time_zone: str
    is_active: bool
    budget: BudgetIn
    on_budget: OnBudget
    last_agent_run_id: UUID | None
    last_error_code: str | None = Field(description="Why the last run was refused, if it was.")
    last_started_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: RunSchedule) -> Self:
        """Render a schedule."""
        facts = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        budget = BudgetIn(token_count=row.budget_token_count, cost_cents=row.budget_cost_cents)
        return cls(**facts, budget=budget)


class AgentScheduleTimesOut(AgentScheduleOut):
    """A schedule of runs with its next times."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"next_times": ["2026-12-01T06:00:00Z"]}]}
    )

    next_times: list[datetime] = Field(description="Its next times; empty while it is paused.")
