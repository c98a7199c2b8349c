"""Read what a failed activity says."""

from typing import Any, NamedTuple

from temporalio.exceptions import ActivityError, ApplicationError


class Failure(NamedTuple):
    """What a failed activity says, as `ActivityInterceptor` writes it.

    Args:
        code: Stable name of what is in the way; None if there is none, as after a timeout.
        message: What is in the way, for a person.
        details: Facts about it, such as Stripe's code and request id.
        release: Which release failed; None if that is not known.
    """

    code: str | None
    message: str
    details: dict[str, Any]
    release: str | None


def failure_of(error: ActivityError) -> Failure:
    """Return what a failed activity says."""
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
