"""Intercepts every activity: translates its errors, sends heartbeats and labels its logs."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.exceptions import ApplicationErrorCategory as Category
from temporalio.exceptions import TemporalError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from database.session import DATABASE_DOWN, DATABASE_REFUSED
from domain.errors import ApplicationError, BatchPendingError, DatabaseRefusedError

log = structlog.get_logger(__name__)

BEATS_PER_TIMEOUT = 3
# Reason: an unexpected error is retried a few times; then the workflow parks the step.
UNEXPECTED_ATTEMPTS = 5
# The database driver itself refuses half of a surrogate pair, with a UnicodeEncodeError.
_REFUSED: tuple[type[Exception], ...] = (*DATABASE_REFUSED, UnicodeEncodeError)


class ActivityInterceptor(Interceptor):
    """Lets activities raise domain errors, and sends their heartbeats.

    Args:
        release: Release that this process runs; every failure carries it.
    """

    def __init__(self, release: str | None = None) -> None:
        self._release = release

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the next interceptor of the chain."""
        return _Inbound(next, self._release)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, release: str | None) -> None:
        super().__init__(next)
        self._release = release

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            workflow_id=info.workflow_id,
            task_type=info.activity_type,
        )
        heartbeat_task = asyncio.create_task(_send_heartbeats(info))
        try:
            return await self.next.execute_activity(input)
        except TemporalError:
            raise
        except Exception as error:  # noqa: BLE001 - every error has to reach the workflow
            raise _failure(error, info.attempt, self._release) from _public_cause(error)
        finally:
            heartbeat_task.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat_task


def _failure(
    error: Exception,
    attempt: int,
    release: str | None,
) -> TemporalApplicationError:
    """Return the failure that the workflow gets for an error, and whether it is retryable."""
    is_last = attempt >= UNEXPECTED_ATTEMPTS
    match error:
        case ApplicationError():
            # Reason: the SDK logs a failure with its traceback, and what is refused is no failure.
            is_refusal = not error.is_retryable and error.http_status < 500
            if is_refusal:
                log.info("activity_refused", code=error.error_code)
            return TemporalApplicationError(
                error.message,
                error.details,
                release,
                # Reason: by it, whoever sent the command gets the same error with any code.
                type(error).__name__,
                type=error.error_code,
                non_retryable=not error.is_retryable,
                next_retry_delay=_retry_delay(error),
                category=_category(error, is_refusal),
            )
        case _ if isinstance(error, DATABASE_DOWN):
            # Reason: the error's own text quotes statements and values to be stored.
            log.warning("database_down", error=type(error).__name__)
            message, code, is_last = (
                "the database cannot be reached",
                "database_unavailable",
                False,
            )
        case _ if isinstance(error, _REFUSED):
            # Reason: the text quotes values here too, and no retry can store such a value.
            log.error("database_refused", error=type(error).__name__)
            message, code, is_last = (
                "the database cannot store this",
                DatabaseRefusedError.code,
                True,
            )
        case SQLAlchemyError():
            # Reason: the text quotes values here too, and Temporal keeps a failure for a month.
            log.error("database_error", error=type(error).__name__, exc_info=error)
            message, code = "the database refused a statement", "database_error"
        case _:
            log.error("activity_failed", attempt=attempt, exc_info=error)
            # Reason: the error's text may quote what no history may hold; the log has the text.
            message = f"an unexpected error occurred ({type(error).__name__})"
            code = ApplicationError.code
    return TemporalApplicationError(message, {}, release, type=code, non_retryable=is_last)


def _category(error: ApplicationError, is_refusal: bool) -> Category:
    """Return how Temporal's SDK logs and counts a failure."""
    # Reason: a batch is waited for by tries that fail, so such a failure is no news.
    is_expected = is_refusal or isinstance(error, BatchPendingError)
    return Category.BENIGN if is_expected else Category.UNSPECIFIED


def _public_cause(error: Exception) -> Exception | None:
    """Return the error if a history may hold it as the failure's cause, else None."""
    return error if isinstance(error, ApplicationError) else None


def _retry_delay(error: ApplicationError) -> timedelta | None:
    """Return how long the provider asks to wait; None leaves the delay to the retry policy."""
    seconds = error.details.get("retry_after_seconds")
    return timedelta(seconds=seconds) if error.is_retryable and seconds else None


async def _send_heartbeats(info: activity.Info) -> None:
    if info.heartbeat_timeout is None:
        return
    while True:
        await asyncio.sleep(info.heartbeat_timeout.total_seconds() / BEATS_PER_TIMEOUT)
        activity.heartbeat()
