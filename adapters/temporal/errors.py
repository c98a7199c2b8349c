"""Translates errors of a Temporal client into our own errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain import errors
from domain.errors import ApplicationError, InternalError, WorkflowEndedError

# Statuses of calls that were not answered in time, and may have taken effect.
LATE = frozenset({RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED})
# Error class by failure type: the code of the class, or a code that an activity chose.
_BY_CODE: Mapping[str, type[ApplicationError]] = {
    kind.code: kind
    for kind in (
        errors.BadRequestError,
        errors.UnauthorizedError,
        errors.ForbiddenError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.IllegalCommandError,
        errors.GoneError,
        errors.InvalidInputError,
        errors.TooManyRequestsError,
        errors.PaymentRefusedError,
        errors.CardDeclinedError,
        errors.EntitlementRequiredError,
        errors.LimitReachedError,
        errors.BudgetExceededError,
        errors.ProviderRejectedError,
        errors.UnreadableAnswerError,
        errors.DatabaseRefusedError,
        errors.UnavailableError,
        errors.OutcomePendingError,
        errors.ProviderUnavailableError,
        errors.InternalError,
    )
} | {
    "already_subscribed": errors.ConflictError,
    "approval_closed": errors.ConflictError,
    "approver_required": errors.ForbiddenError,
    "args_digest_mismatch": errors.ConflictError,
    "busy": errors.UnavailableError,
    "checkout_open": errors.ConflictError,
    "conversation_busy": errors.ConflictError,
    "coupon_not_found": errors.NotFoundError,
    "currency_mismatch": errors.ConflictError,
    "discount_refused": errors.ConflictError,
    "link_expired": errors.GoneError,
    "managed_at_stripe": errors.IllegalCommandError,
    "message_too_long": errors.InvalidInputError,
    "not_at_stripe": errors.ConflictError,
    "payment_due": errors.IllegalCommandError,
    "payment_method_unusable": errors.ConflictError,
    "plan_code_taken": errors.ConflictError,
    "promotion_code_not_found": errors.NotFoundError,
    "refund_exceeds_payment": errors.InvalidInputError,
    "stripe_resource_missing": errors.NotFoundError,
    "too_many_messages": errors.TooManyRequestsError,
    "trial_end_not_later": errors.InvalidInputError,
    "unknown_call": errors.ConflictError,
    "unsupported_payment_method": errors.InvalidInputError,
}
_DOWN = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        # Reason: a key that is wrong or being rotated is an outage, as at Stripe.
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
        # Reason: for example a query while no worker polls.
        RPCStatusCode.FAILED_PRECONDITION,
        # Reason: failures inside the server, such as of its database, are temporary too.
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    },
)
# Message of the server for an update beyond the limit of one execution.
_UPDATE_LIMIT = "limit on the total number of distinct updates"
# Reason: a lazy client that cannot connect raises a bare RuntimeError with this beginning.
_NO_CONNECTION = "Failed client connect"
# Failure type of an update that was still open when its workflow ended.
UPDATE_NOT_ANSWERED = "AcceptedUpdateCompletedWorkflow"


class ConnectError(RuntimeError):
    """Temporal cannot be reached, or refuses the connection; the message names its address."""


def from_temporal(error: Exception) -> ApplicationError:
    """Translate an error of a Temporal client into our own error.

    Args:
        error: Error of a failed workflow or update, or of a call that failed.

    Returns:
        Our own error; `internal_error` for an unexpected error.
    """
    if isinstance(error, WorkflowUpdateFailedError | WorkflowFailureError):
        return _from_failure(error)
    if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError):
        return errors.OutcomePendingError(
            "the command is still running; repeat it with the same key for its answer"
        )
    if isinstance(error, RPCError):
        if error.status is RPCStatusCode.NOT_FOUND:
            return WorkflowEndedError("the workflow does not exist or has ended")
        if _UPDATE_LIMIT in error.message:
            return errors.TooManyRequestsError("the workflow cannot take any more commands")
        is_down = error.status in _DOWN
    else:
        is_down = isinstance(error, RPCTimeoutOrCancelledError) or is_connect_failure(error)
    if is_down:
        return errors.UnavailableError("Temporal cannot be reached", "temporal_unavailable")
    return InternalError("something went wrong on our side")


def is_connect_failure(error: BaseException) -> bool:
    """Tell whether an error means that a Temporal client could not connect."""
    if isinstance(error, ConnectError):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(_NO_CONNECTION)


def _from_failure(error: BaseException) -> ApplicationError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TemporalApplicationError):
        cause = cause.__cause__
    if cause is None or cause.type is None:
        return InternalError("something went wrong on our side")
    if cause.type == UPDATE_NOT_ANSWERED:
        return WorkflowEndedError("the workflow ended before it answered")
    kind = _named_kind(cause.details) or _BY_CODE.get(cause.type)
    if kind is None:
        return InternalError("something went wrong on our side")
    return kind(cause.message, cause.type, _facts(cause.details))


def _named_kind(details: Sequence[Any]) -> type[ApplicationError] | None:
    """Return the class that an activity named beside its failure; None if it named none of ours."""
    named = details[2] if len(details) > 2 else None
    kind = getattr(errors, named, None) if isinstance(named, str) else None
    is_ours = isinstance(kind, type) and issubclass(kind, ApplicationError)
    return kind if is_ours else None


def _facts(details: Sequence[Any]) -> dict[str, Any]:
    return dict(details[0]) if details and isinstance(details[0], Mapping) else {}
