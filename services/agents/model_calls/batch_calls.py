"""Makes calls by a provider's batch endpoint: created once, looked at now and then, or canceled."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from adapters.llm.batches import EXPIRED
from adapters.llm.gateway import Models
from adapters.llm.provider import BatchEndpoint, Progress
from database.session import Sessions
from database.usage.usage_records import UsageRepository
from domain.errors import (
    ApplicationError,
    BatchPendingError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from domain.llm.batches import GIVE_UP_AFTER, BatchCall, pause_seconds
from domain.llm.messages import ModelReply
from services.agents.model_calls.attempt import Attempt
from services.agents.model_calls.planning import SUCCEEDED

# How often, and with which pause, a canceled batch is looked at: providers take up to ten minutes.
CANCEL_LOOKS = 5
CANCEL_PAUSE_SECONDS = 0.5
# Reason: a batch that was created without an answer may come late into the provider's list.
UNANSWERED_PAUSE_SECONDS = 5.0
_UNANSWERED = "model_unanswered"

log = structlog.get_logger(__name__)


class BatchCalls:
    """Makes calls by the batch endpoints of the models' providers."""

    def __init__(self, sessions: Sessions, models: Models) -> None:
        self._sessions = sessions
        self._models = models

    async def ask(self, attempt: Attempt, progress: Progress) -> ModelReply:
        """Create the batch of an attempt, or fetch its answer.

        Args:
            attempt: The attempt; its `batch` is known.
            progress: Updated with what there is to pay for.

        Raises:
            BatchPendingError: There is no answer yet; `details` has `retry_after_seconds`.
            ProviderUnavailableError: The answer is no use; another batch may bring a better one.
            ProviderRejectedError: There will be no answer.
        """
        batch = _batch_of(attempt)
        # Reason: until the provider says what became of it, a batch may cost all that is reserved.
        progress.was_sent = batch.batch_id is not None
        endpoint = self._models.batches(attempt.request)
        if (batch_id := batch.batch_id) is None:
            await self._create(endpoint, attempt, progress)
            raise _pending(batch)
        try:
            result = await endpoint.fetch(batch_id, attempt.source_key)
        except ApplicationError as error:
            # Reason: a batch that is paid for is not given up because nobody can look at it now.
            log.warning("batch_not_read", batch_id=batch_id, error_code=error.error_code)
            raise _pending(batch, error) from None
        if result is None:
            if _age_of(batch) > GIVE_UP_AFTER:
                await self._give_up(endpoint, batch_id)
            raise _pending(batch)
        outcome = SUCCEEDED
        try:
            return endpoint.read(result, attempt.request, progress)
        except ApplicationError as error:
            outcome = error.error_code
            raise
        finally:
            self._models.note_batch(attempt.request, outcome, progress.usage)

    async def cancel(self, attempt: Attempt, progress: Progress) -> None:
        """Cancel the batch of an attempt, and see what it has cost as far as that is known.

        Args:
            attempt: The attempt; its `batch` is known.
            progress: Updated with what there is to pay for.

        Raises:
            ApplicationError: The provider cannot be asked.
        """
        endpoint, batch = self._models.batches(attempt.request), _batch_of(attempt)
        key, batch_id = attempt.source_key, batch.batch_id
        if batch_id is None and (batch_id := await endpoint.find(key, batch.begun_at)) is None:
            return
        progress.was_sent = True
        await endpoint.cancel(batch_id)
        for _ in range(CANCEL_LOOKS):
            if (result := await endpoint.fetch(batch_id, key)) is not None:
                with suppress(ApplicationError):
                    endpoint.read(result, attempt.request, progress)
                return
            await asyncio.sleep(CANCEL_PAUSE_SECONDS)

    async def _create(self, endpoint: BatchEndpoint, attempt: Attempt, progress: Progress) -> None:
        """Create a batch, unless an earlier try did, and store its id.

        Raises:
            BatchPendingError: It could not be created now.
            ProviderRejectedError: The provider refused, or could not be reached for a day.
        """
        batch = _batch_of(attempt)
        creating = asyncio.ensure_future(self._create_once(endpoint, attempt))
        try:
            await asyncio.shield(creating)
        except asyncio.CancelledError:
            # Reason: a batch that was just created has to be known, so that it can be canceled.
            with suppress(ApplicationError):
                await creating
            raise
        except ApplicationError as error:
            if not error.is_retryable:
                raise
            if _age_of(batch) <= GIVE_UP_AFTER:
                raise _pending(batch, error) from None
            progress.was_sent = attempt.is_resumed
            raise ProviderRejectedError(error.message, error.error_code, error.details) from None

    async def _create_once(self, endpoint: BatchEndpoint, attempt: Attempt) -> None:
        key, batch_id = attempt.source_key, None
        if attempt.is_resumed:
            # Reason: the answer to an earlier try may be lost, and the batch is paid for once only.
            batch_id = await self._find(endpoint, attempt)
        if batch_id is None:
            batch_id = await endpoint.create(attempt.request, key)
        async with self._sessions.begin() as session:
            kept = await UsageRepository(session).name_batch(key, batch_id)
        if kept != batch_id:
            log.warning("batch_created_twice", batch_id=batch_id, kept=kept)
            await endpoint.cancel(batch_id)

    async def _find(self, endpoint: BatchEndpoint, attempt: Attempt) -> str | None:
        """Return the id of the batch that an earlier try has created; None if it did not.

        Raises:
            ProviderUnavailableError: The provider cannot be asked, so that nothing is known.
        """
        try:
            return await endpoint.find(attempt.source_key, _batch_of(attempt).begun_at)
        except ApplicationError as error:
            raise ProviderUnavailableError(error.message, error.error_code, error.details) from None

    async def _give_up(self, endpoint: BatchEndpoint, batch_id: str) -> None:
        """Cancel a batch that has outlived its window, and fail.

        Raises:
            ProviderRejectedError: Always (`model_batch_expired`).
        """
        with suppress(ApplicationError):
            await endpoint.cancel(batch_id)
        raise ProviderRejectedError(
            "the provider did not answer the batch within its window", EXPIRED
        )


def _batch_of(attempt: Attempt) -> BatchCall:
    if attempt.batch is None:
        raise ValueError("the attempt is no call by the batch endpoint")
    return attempt.batch


def _age_of(batch: BatchCall) -> timedelta:
    return datetime.now(UTC) - batch.begun_at


def _pending(batch: BatchCall, cause: ApplicationError | None = None) -> BatchPendingError:
    """Return the error by which Temporal is asked to try again, after a pause."""
    pause = pause_seconds(_age_of(batch))
    if cause is None:
        message, facts = "the provider has not answered the batch yet", {}
    else:
        message, facts = f"the batch cannot be seen to now: {cause.message}", cause.details
        least = UNANSWERED_PAUSE_SECONDS if cause.error_code == _UNANSWERED else 0.0
        pause = max(pause, least, float(facts.get("retry_after_seconds") or 0))
    return BatchPendingError(message, details={**facts, "retry_after_seconds": pause})
