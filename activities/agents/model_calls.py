"""Runs one step of a run: one streamed call of a model."""

import asyncio

import structlog
from temporalio import activity

from adapters.llm.gateway import Models
from adapters.llm.provider import Progress
from database.agents.agent_runs import AgentRunRepository
from database.session import Sessions
from domain.agents.runs import RunStatus, StepInput, StepResult, waits_for_budget
from domain.errors import ApplicationError, BudgetExceededError
from domain.llm.messages import ModelReply
from services.agents.knowledge.retrieval import Retrieval
from services.agents.model_calls.answer_cache import find_answer, keep_answer, token_event
from services.agents.model_calls.answers import (
    Answer,
    find_run_at_step,
    lock_run,
    store_answer,
    stored_reply,
)
from services.agents.model_calls.attempts import CANCELED, SUCCEEDED, Attempt, ModelAttempts
from services.agents.model_calls.failures import check_answer
from services.agents.model_calls.output import OUTPUT_INVALID, read_output
from services.agents.run_records import change_status
from services.agents.server_clock import ServerClock
from services.agents.token_stream import RunStream

log = structlog.get_logger(__name__)


class ModelCallActivities:
    """The activity that calls a model for a run's step."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        attempts: ModelAttempts,
        stream: RunStream,
        retrieval: Retrieval,
    ) -> None:
        self._retrieval = retrieval
        self._sessions = sessions
        self._models = models
        self._attempts = attempts
        self._stream = stream

    @activity.defn
    async def ask_model(self, step_input: StepInput) -> StepResult:
        """Call the model once, stream its text, and store its answer and tool calls.

        An answer from the cache is stored in the same way, and costs nothing.

        Before a run's first step, the passages that answer its question are found.

        Args:
            step_input: The step; a step whose answer is stored already is not repeated.

        Returns:
            The tool calls to make, or that this is the run's final answer.

        Raises:
            BudgetExceededError: The rest of the budget does not suffice.
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
                attempt = await self._attempts.plan(session, found, step_input)
                cached = await find_answer(session, found.run.user_id, attempt)
                if cached is None:
                    attempt = await self._attempts.begin(session, found.run, attempt)
        except BudgetExceededError as error:
            await self._tell_pause(step_input, error)
            raise
        progress = Progress()
        if cached is None:
            reply = await self._ask(attempt, progress)
        else:
            attempt, reply = attempt._replace(is_cached=True), cached
        try:
            return await self._keep(attempt, reply, progress, clock)
        except (ApplicationError, asyncio.CancelledError) as error:
            code = error.error_code if isinstance(error, ApplicationError) else CANCELED
            await self._attempts.settle_failure(attempt, progress, code)
            raise

    async def _tell_pause(self, step_input: StepInput, error: BudgetExceededError) -> None:
        """Show that a run waits for its budget to be raised or renewed, if it does."""
        if not waits_for_budget(step_input.on_budget, error.error_code):
            return
        async with self._sessions.begin() as session:
            run = await AgentRunRepository(session).lock(step_input.agent_run_id)
            if run is not None:
                await change_status(session, run, RunStatus.WAITING_BUDGET)

    async def _ask(self, attempt: Attempt, progress: Progress) -> ModelReply:
        """Call the model; a failed call is settled as well.

        Raises:
            ApplicationError: There is no answer; the error says whether it is retryable.
        """
        step_input = attempt.step_input

        def on_text(piece: str) -> None:
            number, step = attempt.number, step_input.step
            self._stream.put_token(step_input.agent_run_id, piece, attempt=number, step=step)

        run = str(step_input.agent_run_id)
        try:
            reply = await self._models.ask(attempt.request, on_text, progress, run)
            check_answer(reply, attempt.outcomes)
        except ApplicationError as error:
            await self._attempts.settle_failure(attempt, progress, error.error_code)
            raise self._attempts.failure_of(attempt, error) from None
        except asyncio.CancelledError:
            await self._attempts.settle_failure(attempt, progress, CANCELED)
            raise
        except Exception as error:
            # Reason: any other error is a defect of ours, and each further attempt costs money.
            log.exception("model_call_failed", model=attempt.request.model)
            await self._attempts.settle_failure(attempt, progress, ApplicationError.code)
            raise ApplicationError("something went wrong on our side") from error
        return reply

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
                if output.problem is None:
                    await keep_answer(session, run.user_id, attempt, reply)
                is_decided = True
        except BaseException:
            # Reason: an unanswered commit may have happened, and no text may be written twice.
            if not is_decided:
                self._stream.put_back(agent_run_id, stream_events)
            raise
        return step_reply
