"""Reads the failures of activities."""

from typing import Any, NamedTuple

from temporalio.exceptions import ActivityError, ApplicationError


class Failure(NamedTuple):
    """The failure of an activity, as `ActivityInterceptor` writes it.

    Args:
        code: Stable error code; None if there is none, as after a timeout.
        message: Error message for a person.
        details: Details of the error, such as Stripe's code and request id.
        release: Release that failed; None if unknown.
    """

    code: str | None
    message: str
    details: dict[str, Any]
    release: str | None


def failure_of(error: ActivityError) -> Failure:
    """Return the failure of an activity."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Failure(None, str(cause or error), {}, None)
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    release = cause.details[1] if len(cause.details) > 1 else None
    return Failure(
        code=cause.type,
        message=cause.message,
        details=details,
        release=release if isinstance(release, str) else None,
    )
