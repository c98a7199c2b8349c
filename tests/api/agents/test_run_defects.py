"""Runs that meet what nobody foresaw, and workflows that are not where they should be."""

from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.agents.completion import RunClosingActivities
from activities.agents.model_calls import ModelCallActivities
from activities.agents.runs import RunActivities
from adapters.chroma.client import open_chroma
from adapters.embeddings import LocalEmbedder
from adapters.llm.gateway import Models
from adapters.llm.pricing import Prices
from adapters.llm.provider import OnText, Progress
from bootstrap.tools import make_tool_catalog
from commands.doctor.findings import CheckDoubtfulError
from commands.doctor.open_runs import check_open_runs
from config import Settings
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.agents.runs import CloseRunInput, RunRequest, RunStatus, StepInput
from domain.errors import ApplicationError
from domain.llm.messages import ModelRequest
from domain.llm.routing import ModelNames
from services.agents.knowledge.retrieval import Retrieval
from services.agents.model_calls.attempts import ModelAttempts
from services.agents.run_closing import RunClosing
from services.agents.token_stream import RunStream
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import UsageMeter
from services.knowledge.search import KnowledgeSearch
from tests.api.conftest import Person
from tests.unit.test_commands import reaching


class DefectiveProvider:
    """A provider whose code fails, after it has sent the request, with no error of ours."""

    batches = None

    async def stream(self, request: ModelRequest, on_text: OnText, progress: Progress) -> NoReturn:
        progress.was_sent = True
        raise ZeroDivisionError


@pytest.fixture
async def run_id(customer: Person, sessions: Sessions) -> UUID:
    """A run that is open and has no workflow."""
    request = RunRequest(
        agent_run_id=uuid4(),
        user_id=customer.user_id,
        agent="research",
        prompt_version="v1",
        input="hello",
        conversation_id=uuid4(),
    )
    await ActivityEnvironment().run(RunActivities(sessions, ToolCatalog()).open_run, request)
    return request.agent_run_id


async def test_what_nobody_foresaw_ends_a_run_at_once_and_is_paid_for(
    customer: Person, sessions: Sessions, run_id: UUID
) -> None:
    prices, names = Prices("openai"), ModelNames(small="gpt-4.1", large="gpt-4.1")
    means, env = UsageMeter(prices), ActivityEnvironment()
    async with RunStream(sessions) as stream, open_chroma("http://127.0.0.1:1") as nowhere:
        retrieval = Retrieval(KnowledgeSearch(nowhere, LocalEmbedder(), sessions), sessions)
        models, attempts = (
            Models(DefectiveProvider(), prices),
            ModelAttempts(sessions, names, means, make_tool_catalog()),
        )
        steps = ModelCallActivities(sessions, models, attempts, stream, retrieval)
        order = StepInput(agent_run_id=run_id, step=0, at=datetime.now(UTC))
        with pytest.raises(ApplicationError) as caught:
            await env.run(steps.ask_model, order)
        end = CloseRunInput(agent_run_id=run_id, run_status=RunStatus.FAILED)
        await env.run(RunClosingActivities(RunClosing(sessions, means, stream)).close_run, end)
    assert (caught.value.error_code, caught.value.is_retryable) == ("internal_error", False)
    assert "ZeroDivision" not in caught.value.message
    async with sessions() as session:
        (record,) = await UsageRepository(session).of_step(run_id, 0)
    assert (record.usage_status, record.outcome) == ("settled", "internal_error")
    assert record.completion_token_count == record.reserved_completion_token_count > 0
    assert record.is_estimated


async def test_a_run_whose_workflow_is_not_there_is_told_and_not_ended(
    customer: Person, settings: Settings, sessions: Sessions, workers: Client, run_id: UUID
) -> None:
    """As from a worker at the wrong namespace, which must not end everybody's runs."""
    with pytest.raises(CheckDoubtfulError, match="no workflow at this address and namespace"):
        await check_open_runs(reaching(settings, workers))
    path = f"agent-runs/{run_id}"
    assert (await customer.get(path))["run_status"] == "running"
    canceled = await customer.post(f"{path}/cancel")
    assert canceled.json()["run_status"] == "canceled", "the way out that the doctor names"
