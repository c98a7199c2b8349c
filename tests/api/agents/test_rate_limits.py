"""Our own limits of calls per minute: a call waits before anything is reserved for it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.agents.runs import RunActivities
from adapters.llm.pricing import Prices
from adapters.llm.provider import Progress
from bootstrap.tools import make_tool_catalog
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.agents.runs import RunRequest, StepInput
from domain.errors import ProviderUnavailableError
from domain.llm.messages import ProviderSlot
from domain.llm.rate_limits import RateLimits
from domain.llm.routing import ModelNames
from services.agents.model_calls.answers import find_run_at_step
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.attempts import ModelAttempts
from services.agents.model_calls.planning import CANCELED
from services.agents.model_calls.rate_limiter import RateLimiter
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import UsageMeter
from tests.api.conftest import Person


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def runs(customer: Person, sessions: Sessions) -> AsyncIterator[list[UUID]]:
    """Three open runs without workflows."""
    found = []
    for _ in range(3):
        request = RunRequest(
            agent_run_id=uuid4(),
            user_id=customer.user_id,
            agent="research",
            prompt_version="v1",
            input="hello",
            conversation_id=uuid4(),
        )
        await ActivityEnvironment().run(RunActivities(sessions, ToolCatalog()).open_run, request)
        found.append(request.agent_run_id)
    yield found
    for agent_run_id in found:
        assert (await customer.post(f"agent-runs/{agent_run_id}/cancel")).is_success


def attempts_with(sessions: Sessions, limits: RateLimits, clock: Clock) -> ModelAttempts:
    limiter = RateLimiter({ProviderSlot.PRIMARY: limits}, clock)
    names, meter = ModelNames(small="gpt-4.1", large="gpt-4.1"), UsageMeter(Prices("openai"))
    return ModelAttempts(sessions, names, meter, make_tool_catalog(), lambda _: False, limiter)


async def begin(sessions: Sessions, attempts: ModelAttempts, agent_run_id: UUID) -> Attempt:
    order = StepInput(agent_run_id=agent_run_id, step=0, at=datetime.now(UTC))
    async with sessions.begin() as session:
        found = await find_run_at_step(session, order)
        planned = await attempts.plan(session, found, order)
        return await attempts.begin(session, found.run, planned)


async def test_a_call_beyond_the_limit_waits_and_reserves_nothing(
    sessions: Sessions, runs: list[UUID]
) -> None:
    clock = Clock()
    attempts = attempts_with(sessions, RateLimits(requests_per_minute=1), clock)
    await begin(sessions, attempts, runs[0])
    waits = []
    for agent_run_id in runs[1:]:
        with pytest.raises(ProviderUnavailableError) as caught:
            await begin(sessions, attempts, agent_run_id)
        assert caught.value.error_code == "model_rate_limited"
        assert caught.value.is_retryable
        waits.append(caught.value.details["retry_after_seconds"])
        async with sessions() as session:
            assert await UsageRepository(session).of_step(agent_run_id, 0) == []
    assert waits == [60, 120]
    clock.now += 60
    assert (await begin(sessions, attempts, runs[1])).number == 1


async def test_tokens_that_were_not_used_are_given_back(
    sessions: Sessions, runs: list[UUID]
) -> None:
    attempts = attempts_with(sessions, RateLimits(tokens_per_minute=3_000), Clock())
    first = await begin(sessions, attempts, runs[0])
    with pytest.raises(ProviderUnavailableError):
        await begin(sessions, attempts, runs[1])
    await attempts.settle_failure(first, Progress(), CANCELED)
    assert (await begin(sessions, attempts, runs[1])).number == 1
