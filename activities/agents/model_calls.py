"""One step of a run: one streamed call of a model."""

import asyncio

import structlog
from temporalio import activity

from adapters.llm.gateway import Models
from adapters.llm.provider import Progress
from database.session import Sessions
from domain.agents.runs import StepInput, StepReply
from domain.errors import ApplicationError
from domain.llm.messages import ModelReply
from services.agents.model_calls.answers import (
    Answer,
    find_step,
    known_reply,
    lock_run,
    store_answer,
)
from services.agents.model_calls.attempts import CANCELED, Attempt, ModelAttempts
from services.agents.model_calls.failures import check_answer
from services.agents.server_clock import ServerClock
from services.agents.token_stream import RunStream

log = structlog.get_logger(__name__)


class StepActivities:
    """Asks models."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        attempts: ModelAttempts,
        stream: RunStream,
    ) -> None:
        self._sessions = sessions
        self._models = models
        self._attempts = attempts
        self._stream = stream

    @activity.defn
    async def ask_model(self, order: StepInput) -> StepReply:
        """Ask the model once, stream what it writes, and store what it wants.

        Args:
            order: Which step; a step that is stored already is not asked again.

        Returns:
            The calls to be made, or that this is the answer.

        Raises:
            BudgetExceededError: What is left does not suffice.
            ProviderUnavailableError: The model failed; a later attempt may not.
            ProviderRejectedError: The provider refused for good, or has failed in the same way as
                often as is paid for.
            ApplicationError: Something went wrong that nobody foresaw.
        """
        structlog.contextvars.bind_contextvars(agent_id=str(order.agent_run_id))
        clock = ServerClock()
        async with self._sessions.begin() as session:
            found = await find_step(session, order)
            if found.is_stored:
                return await known_reply(session, order)
            attempt = await self._attempts.begin(session, found, order)
        progress = Progress()
        reply = await self._ask(attempt, progress)
        try:
            return await self._keep(attempt, reply, progress, clock)
        except (ApplicationError, asyncio.CancelledError) as error:
            code = error.error_code if isinstance(error, ApplicationError) else CANCELED
            await self._attempts.write_off(attempt, progress, code)
            raise

    async def _ask(self, attempt: Attempt, progress: Progress) -> ModelReply:
        """Ask the model; whatever comes of it is paid for.

        Raises:
            ApplicationError: There is no answer; whether it is worth another try, the error says.
        """
        order = attempt.order

        def on_text(piece: str) -> None:
            number, step = attempt.number, order.step
            self._stream.put_token(order.agent_run_id, piece, attempt=number, step=step)

        run = str(order.agent_run_id)
        try:
            reply = await self._models.ask(attempt.request, on_text, progress, run)
            check_answer(reply, attempt.outcomes)
        except ApplicationError as error:
            await self._attempts.write_off(attempt, progress, error.error_code)
            raise self._attempts.failure_of(attempt, error) from None
        except asyncio.CancelledError:
            await self._attempts.write_off(attempt, progress, CANCELED)
            raise
        except Exception as error:
            # Reason: what no provider's error stands for is a defect of ours, and each try is paid.
            log.exception("model_call_failed", model=attempt.request.model)
            await self._attempts.write_off(attempt, progress, ApplicationError.code)
            raise ApplicationError("something went wrong on our side") from error
        return reply

    async def _keep(
        self,
        attempt: Attempt,
        reply: ModelReply,
        progress: Progress,
        clock: ServerClock,
    ) -> StepReply:
        """Store what was told last, the message, its calls and their cost, all or nothing."""
        agent_run_id = attempt.order.agent_run_id
        told = await self._stream.take(agent_run_id)
        is_decided = False
        try:
            async with self._sessions.begin() as session:
                last_seq, run = await lock_run(session, attempt)
                await self._attempts.pay(session, attempt, progress)
                given = Answer(attempt, reply, last_seq, clock.now())
                answer = await store_answer(session, run, given, told)
                is_decided = True
        except BaseException:
            # Reason: a commit whose answer was lost may have happened, and text must not double.
            if not is_decided:
                self._stream.put_back(agent_run_id, told)
            raise
        return answer
