"""What crosses the border of a run's workflow."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.agents.routes import Budget, Route
from domain.agents.runs import (
    CLOSED,
    WAITING,
    CallRef,
    OnBudget,
    OnBusy,
    RunRequest,
    RunStart,
    RunStatus,
    StepResult,
    waits_for_budget,
)
from domain.usage.amounts import UsageTotal

REQUEST = RunRequest(
    agent_run_id=UUID(int=1),
    user_id=UUID(int=2),
    agent="research",
    prompt_version="v1",
    input="Where from?",
    conversation_id=UUID(int=3),
)


def test_every_status_is_either_open_or_closed() -> None:
    assert set(RunStatus) - CLOSED == {RunStatus.QUEUED, RunStatus.RUNNING} | WAITING


def test_statuses_are_called_what_clients_know() -> None:
    assert [str(status) for status in RunStatus] == [
        "queued",
        "running",
        "waiting_approval",
        "waiting_input",
        "waiting_budget",
        "completed",
        "failed",
        "canceled",
        "budget_exceeded",
    ]


@pytest.mark.parametrize("field", ["token_count", "cost_cents"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_budget_is_a_whole_number_above_nothing_or_none(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate({field: value})
    assert Budget.model_validate({field: None}) == Budget()


def test_a_run_needs_at_least_one_step() -> None:
    with pytest.raises(ValidationError):
        Route(max_step_count=0)


def test_a_run_begins_at_its_first_step_without_bounds_of_its_own() -> None:
    start = RunStart(request=REQUEST)
    assert (start.step, start.request.budget, start.request.on_busy) == (
        0,
        Budget(),
        OnBusy.ENQUEUE,
    )


def test_messages_survive_the_border_and_newer_code() -> None:
    start = RunStart(
        request=REQUEST, route=Route(has_retrieval=False), step=3, continue_as_new_after=50
    )
    assert RunStart.model_validate_json(start.model_dump_json()) == start
    newer = {**start.model_dump(mode="json"), "unheard_of": 1}
    assert RunStart.model_validate(newer) == start

    expires_at = datetime(2026, 11, 23, tzinfo=UTC)
    calls = (CallRef(call_id=UUID(int=4), tool="refund_payment", expires_at=expires_at),)
    reply = StepResult(calls=calls, is_answer=False)
    assert StepResult.model_validate_json(reply.model_dump_json()) == reply


def test_what_crosses_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        REQUEST.input = "other"  # type: ignore[misc]


def test_tokens_are_prompts_and_completions() -> None:
    total = UsageTotal(prompt_token_count=7, completion_token_count=5, cost_cents=Decimal("0.5"))
    assert total.token_count == 12
    assert UsageTotal().token_count == 0


def test_only_a_budget_that_can_be_raised_is_waited_for() -> None:
    assert waits_for_budget(OnBudget.WAIT, "budget_exceeded")
    assert not waits_for_budget(OnBudget.END, "budget_exceeded")
    for code in ("price_unknown", "model_rejected", None):
        assert not waits_for_budget(OnBudget.WAIT, code)
