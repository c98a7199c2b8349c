"""What every activity gets without asking: errors translated, heartbeats sent, logs labelled."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.exceptions import TemporalError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from database.session import DATABASE_DOWN, DATABASE_REFUSED
from domain.errors import ApplicationError, DatabaseRefusedError

log = structlog.get_logger(__name__)

BEATS_PER_TIMEOUT = 3
# Reason: what nobody expected is tried a few times, then it fails and its workflow parks it.
UNEXPECTED_ATTEMPTS = 5
# Half a surrogate pair is refused by the database's driver before the database sees it.
_REFUSED: tuple[type[Exception], ...] = (*DATABASE_REFUSED, UnicodeEncodeError)


class ActivityInterceptor(Interceptor):
    """Lets activities raise domain errors and never think of heartbeats.

    Args:
        release: Which release this process runs; whatever fails says so.
    """

    def __init__(self, release: str | None = None) -> None:
        self._release = release

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the chain's next link."""
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
        beating = asyncio.create_task(_beat(info))
        try:
            return await self.next.execute_activity(input)
        except TemporalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the workflow hears of it
            raise _failure(error, info.attempt, self._release) from _shown(error)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


def _failure(
    error: Exception,
    attempt: int,
    release: str | None,
) -> TemporalApplicationError:
    """Return what the workflow hears of an error, and whether it is worth another try."""
    is_last = attempt >= UNEXPECTED_ATTEMPTS
    match error:
        case ApplicationError():
            return TemporalApplicationError(
                error.message,
                error.details,
                release,
                type=error.error_code,
                non_retryable=not error.is_retryable,
                next_retry_delay=_wait_of(error),
            )
        case _ if isinstance(error, DATABASE_DOWN):
            # Reason: its own words quote statements and what was to be stored.
            log.warning("database_down", error=type(error).__name__)
            message, code, is_last = (
                "the database cannot be reached",
                "database_unavailable",
                False,
            )
        case _ if isinstance(error, _REFUSED):
            # Reason: the same here; and no retry makes a value fit that does not.
            log.error("database_refused", error=type(error).__name__)
            message, code, is_last = (
                "the database cannot store this",
                DatabaseRefusedError.code,
                True,
            )
        case SQLAlchemyError():
            # Reason: for the same one. What a failure says is in the history for a month.
            log.error("database_error", error=type(error).__name__, exc_info=error)
            message, code = "the database refused a statement", "database_error"
        case _:
            log.error("activity_failed", attempt=attempt, exc_info=error)
            # Reason: its own words may quote what no history may hold; the log has them.
            message = f"something unexpected went wrong ({type(error).__name__})"
            code = ApplicationError.code
    return TemporalApplicationError(message, {}, release, type=code, non_retryable=is_last)


def _shown(error: Exception) -> Exception | None:
    """Return the cause that a history may hold."""
    return error if isinstance(error, ApplicationError) else None


def _wait_of(error: ApplicationError) -> timedelta | None:
    """Read how long a provider asks to be left alone; None leaves the wait to the retry policy."""
    seconds = error.details.get("retry_after_seconds")
    return timedelta(seconds=seconds) if error.is_retryable and seconds else None


async def _beat(info: activity.Info) -> None:
    if info.heartbeat_timeout is None:
        return
    while True:
        await asyncio.sleep(info.heartbeat_timeout.total_seconds() / BEATS_PER_TIMEOUT)
        activity.heartbeat()
