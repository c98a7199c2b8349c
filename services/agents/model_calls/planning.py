"""Plans attempts at model calls: which model is called, and what it reads."""

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from agents.spec import AgentSpec
from database.agents.agent_runs import RunAtStep
from domain.agents.runs import StepInput
from domain.errors import UnavailableError
from domain.llm.answer_cache import cache_key
from domain.llm.batches import Urgency
from domain.llm.routing import RATE_LIMITED, ModelNames, Target, route
from services.agents.model_calls.attempt import Attempt, request_of
from services.agents.model_calls.batch_attempts import begin_batch
from services.agents.model_calls.failures import TOO_LONG
from services.agents.model_calls.windows import ContextWindows
from services.agents.prompts import read_prompt
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import CACHED, LOST

SUCCEEDED = "succeeded"
CANCELED = "canceled"
# Outcomes that do not speak against the model; a prompt that was too long is sent shorter.
NO_FAILURES = frozenset(
    {SUCCEEDED, CACHED, CANCELED, LOST, RATE_LIMITED, TOO_LONG, UnavailableError.code}
)


class AttemptPlanner:
    """Plans attempts at model calls.

    Args:
        names: The configured models.
        catalog: Catalogue of the agents' tools.
        is_shut: Tells whether the circuit breaker of a model lets no call through.
        windows: Context windows of the models, as far as they were learned.
    """

    def __init__(
        self,
        names: ModelNames,
        catalog: ToolCatalog,
        is_shut: Callable[[Target], bool],
        windows: ContextWindows,
    ) -> None:
        self._names = names
        self._is_shut = is_shut
        self._windows = windows
        self.catalog = catalog

    async def plan(
        self, session: AsyncSession, at_step: RunAtStep, step_input: StepInput
    ) -> Attempt:
        """Return the next attempt at a step, with nothing reserved; see `ModelAttempts.plan`."""
        run, _, attempts = at_step
        earlier = [record for record in attempts if record.step == step_input.step]
        outcomes = tuple(record.outcome or LOST for record in earlier)
        spec = find_agent(run.agent)
        target = self._target(spec, step_input.urgency, outcomes)
        token_limits = self._windows.token_limits(target.label, spec)
        prompt = await read_prompt(session, run, token_limits.prompt_tokens, self.catalog)
        request = request_of(target, prompt, token_limits.answer_tokens)
        key = None if spec.cache is None else cache_key(run.agent, run.prompt_version, request)
        is_batch = step_input.urgency is Urgency.BATCH
        return Attempt(
            step_input,
            # Reason: Temporal counts attempts anew after a reset; no record may be overwritten.
            max((record.attempt or 0 for record in earlier), default=0) + 1,
            outcomes,
            run.conversation_id,
            prompt,
            request,
            cache_key=key,
            batch=begin_batch(prompt, key) if is_batch else None,
        )

    def _target(self, spec: AgentSpec, urgency: Urgency, outcomes: tuple[str, ...]) -> Target:
        """Choose the model; batches stay with the first provider, and no breaker shuts them."""
        failure_count = sum(outcome not in NO_FAILURES for outcome in outcomes)
        if urgency is Urgency.NORMAL:
            return route(self._names, spec.difficulty, failure_count, self._is_shut)
        names = self._names.model_copy(update={"second_small": None, "second_large": None})
        return route(names, spec.difficulty, failure_count)
