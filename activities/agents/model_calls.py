"""Runs one step of a run: one streamed call of a model."""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from adapters.llm.gateway import Models
from adapters.llm.provider import Progress
from database.agents.agent_runs import AgentRunRepository, RunAtStep
from database.session import Sessions
from domain.agents.runs import RunStatus, StepInput, StepResult, waits_for_budget
from domain.errors import ApplicationError, BudgetExceededError
from domain.llm.messages import ModelReply
from services.agents.approvals import add_approval_mails
from services.agents.knowledge.retrieval import Retrieval
from services.agents.model_calls.answer_cache import find_answer, keep_answer, token_event
from services.agents.model_calls.answers import (
    Answer,
    find_run_at_step,
    lock_run,
    store_answer,
    stored_reply,
)
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.attempts import ModelAttempts
from services.agents.model_calls.batch_calls import BatchCalls
from services.agents.model_calls.calls import ModelCalls
from services.agents.model_calls.output import OUTPUT_INVALID, read_output
from services.agents.model_calls.planning import SUCCEEDED
from services.agents.run_records import change_status
from services.agents.server_clock import ServerClock
from services.agents.token_stream import RunStream


class ModelCallActivities:
    """The activity that calls a model for a run's step."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        attempts: ModelAttempts,
        stream: RunStream,
        retrieval: Retrieval,
        *,
        is_mailing_approvals: bool = False,
    ) -> None:
        self._retrieval = retrieval
        self._is_mailing_approvals = is_mailing_approvals
        self._sessions = sessions
        self._calls = ModelCalls(models, BatchCalls(sessions, models), attempts, stream)
        self._attempts = attempts
        self._stream = stream

    @activity.defn
    async def ask_model(self, step_input: StepInput) -> StepResult:
        """Call the model once, stream its text, and store its answer and tool calls.

        An answer from the cache is stored in the same way, and costs nothing. A run that may wait
        is answered by the provider's batch endpoint: this activity fails until there is an answer,
        so that Temporal waits, and no worker does.

        Before a run's first step, the passages that answer its question are found.

        Args:
            step_input: The step; a step whose answer is stored already is not repeated.

        Returns:
            The tool calls to make, or that this is the run's final answer.

        Raises:
            BudgetExceededError: The rest of the budget does not suffice.
            BatchPendingError: The batch has no answer yet.
            UnavailableError: Chroma or the embedding model does not answer now.
            ProviderUnavailableError: The model failed; a later attempt may succeed.
            ProviderRejectedError: The provider refused for good, or failed in the same way for the
                highest number of paid attempts.
            ApplicationError: An unexpected error occurred.
        """
        structlog.contextvars.bind_contextvars(agent_id=str(step_input.agent_run_id))
        if step_input.is_retrieving:
            await self._retrieval.retrieve(step_input.agent_run_id)
        clock = ServerClock()
        try:
            async with self._sessions.begin() as session:
                found = await find_run_at_step(session, step_input)
                if found.is_stored:
                    return await stored_reply(session, step_input)
                attempt, reply = await self._begin(session, found, step_input)
        except BudgetExceededError as error:
            await self._tell_pause(step_input, error)
            raise
        progress = Progress()
        reply = reply or await self._calls.ask(attempt, progress)
        try:
            return await self._keep(attempt, reply, progress, clock)
        except (ApplicationError, asyncio.CancelledError) as error:
            await self._calls.settle(attempt, progress, error)
            raise

    @activity.defn
    async def cancel_model_batch(self, step_input: StepInput) -> None:
        """Cancel the batch of a step that is canceled, and settle it; without one, do nothing.

        Args:
            step_input: The step.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        async with self._sessions.begin() as session:
            found = await find_run_at_step(session, step_input)
            attempt = await self._attempts.resume(session, found, step_input)
        if attempt is not None:
            await self._calls.cancel_batch(attempt)

    async def _begin(
        self, session: AsyncSession, found: RunAtStep, step_input: StepInput
    ) -> tuple[Attempt, ModelReply | None]:
        """Begin an attempt, or go on with a batch; return it, and its answer from the cache."""
        if (resumed := await self._attempts.resume(session, found, step_input)) is not None:
            return resumed, None
        planned = await self._attempts.plan(session, found, step_input)
        cached = await find_answer(session, found.run.user_id, planned)
        if cached is not None:
            return planned._replace(is_cached=True, batch=None), cached
        return await self._attempts.begin(session, found.run, planned), None

    async def _tell_pause(self, step_input: StepInput, error: BudgetExceededError) -> None:
        """Show that a run waits for its budget to be raised or renewed, if it does."""
        if not waits_for_budget(step_input.on_budget, error.error_code):
            return
        async with self._sessions.begin() as session:
            run = await AgentRunRepository(session).lock(step_input.agent_run_id)
            if run is not None:
                await change_status(session, run, RunStatus.WAITING_BUDGET)

    async def _keep(
        self,
        attempt: Attempt,
        reply: ModelReply,
        progress: Progress,
        clock: ServerClock,
    ) -> StepResult:
        """Store the last tokens, the message, its tool calls and its cost in one transaction."""
        agent_run_id = attempt.step_input.agent_run_id
        stream_events = await self._stream.take(agent_run_id)
        is_decided = False
        try:
            async with self._sessions.begin() as session:
                last_seq, run = await lock_run(session, attempt)
                output = read_output(attempt.prompt.spec, reply)
                outcome = OUTPUT_INVALID if output.problem else SUCCEEDED
                await self._attempts.pay(session, run, attempt, progress, outcome)
                answer = Answer(attempt, reply, last_seq, clock.now(), output)
                told = [token_event(attempt, reply)] if attempt.is_cached else []
                step_reply = await store_answer(session, run, answer, [*stream_events, *told])
                if self._is_mailing_approvals:
                    await add_approval_mails(session, [each.call_id for each in step_reply.calls])
                if output.problem is None:
                    await keep_answer(session, run.user_id, attempt, reply)
                is_decided = True
        except BaseException:
            # Reason: an unanswered commit may have happened, and no text may be written twice.
            if not is_decided:
                self._stream.put_back(agent_run_id, stream_events)
            raise
        return step_reply
