"""Makes model calls, by a stream or by a batch, and settles those that bring no answer."""

import asyncio

import structlog

from adapters.llm.gateway import Models
from adapters.llm.provider import Progress
from domain.errors import ApplicationError, BatchPendingError
from domain.llm.messages import ModelReply
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.attempts import ModelAttempts
from services.agents.model_calls.batch_calls import BatchCalls
from services.agents.model_calls.failures import check_answer
from services.agents.model_calls.planning import CANCELED
from services.agents.token_stream import RunStream

log = structlog.get_logger(__name__)


class ModelCalls:
    """Makes the calls of attempts that have begun."""

    def __init__(
        self, models: Models, batches: BatchCalls, attempts: ModelAttempts, stream: RunStream
    ) -> None:
        self._models = models
        self._batches = batches
        self._attempts = attempts
        self._stream = stream

    async def ask(self, attempt: Attempt, progress: Progress) -> ModelReply:
        """Call the model; a failed call is settled as well.

        Raises:
            BatchPendingError: The batch has no answer yet, and is not settled.
            ApplicationError: There is no answer; the error says whether it is retryable.
        """
        if attempt.batch is not None:
            return await self._ask_by_batch(attempt, progress)
        try:
            reply = await self._ask_by_stream(attempt, progress)
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

    async def settle(
        self, attempt: Attempt, progress: Progress, error: ApplicationError | asyncio.CancelledError
    ) -> None:
        """Settle an attempt whose answer could not be stored.

        Args:
            attempt: The attempt.
            progress: What was received.
            error: Why it was not stored.
        """
        code, is_final = CANCELED, False
        if isinstance(error, ApplicationError):
            code, is_final = error.error_code, not error.is_retryable
        # Reason: a batch can be read again, by the next try or by the worker that takes over.
        if attempt.batch is None or is_final:
            await self._attempts.settle_failure(attempt, progress, code)

    async def cancel_batch(self, attempt: Attempt) -> None:
        """Cancel the batch of an attempt, and settle it.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        progress = Progress()
        await self._batches.cancel(attempt, progress)
        await self._attempts.settle_failure(attempt, progress, CANCELED)

    async def _ask_by_stream(self, attempt: Attempt, progress: Progress) -> ModelReply:
        step_input = attempt.step_input

        def on_text(piece: str) -> None:
            number, step = attempt.number, step_input.step
            self._stream.put_token(step_input.agent_run_id, piece, attempt=number, step=step)

        run = str(step_input.agent_run_id)
        return await self._models.ask(attempt.request, on_text, progress, run)

    async def _ask_by_batch(self, attempt: Attempt, progress: Progress) -> ModelReply:
        """Ask by a batch; one that is interrupted stays open, for the next try to go on with."""
        try:
            reply = await self._batches.ask(attempt, progress)
            check_answer(reply, attempt.outcomes)
        except BatchPendingError:
            raise
        except ApplicationError as error:
            await self._attempts.settle_failure(attempt, progress, error.error_code)
            raise self._attempts.failure_of(attempt, error) from None
        return reply
