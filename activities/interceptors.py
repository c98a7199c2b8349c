"""What every activity gets without asking: errors translated, heartbeats sent, logs labelled."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
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
    """Lets activities raise domain errors and never think of heartbeats."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the chain's next link."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
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
        except DATABASE_DOWN as error:
            # Reason: its own words quote statements and what was to be stored.
            log.warning("database_down", error=type(error).__name__)
            message = "the database is not to be reached"
            raise TemporalApplicationError(message, type="database_unavailable") from None
        except _REFUSED as error:
            # Reason: the same here; and no retry makes a value fit that does not.
            log.error("database_refused", error=type(error).__name__)  # noqa: TRY400 - as above
            message = "the database cannot store this"
            raise TemporalApplicationError(
                message, type=DatabaseRefusedError.code, non_retryable=True
            ) from None
        except ApplicationError as error:
            raise TemporalApplicationError(
                error.message,
                error.details,
                type=error.error_code,
                non_retryable=not error.is_retryable,
                next_retry_delay=_wait_of(error),
            ) from error
        except TemporalError:
            raise
        except Exception as error:
            log.exception("activity_failed", attempt=info.attempt)
            # Reason: its own words may quote what no history may hold; the log has them.
            raise TemporalApplicationError(
                f"something unexpected went wrong ({type(error).__name__})",
                type=ApplicationError.code,
                non_retryable=info.attempt >= UNEXPECTED_ATTEMPTS,
            ) from None
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


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
