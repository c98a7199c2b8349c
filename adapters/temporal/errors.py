"""Translates what a Temporal client raises into our own errors."""

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

# What a failure's type stands for: the code of a class, or one that an activity gave it.
_BY_CODE: Mapping[str, type[ApplicationError]] = {
    kind.code: kind
    for kind in (
        errors.BadRequestError,
        errors.UnauthorizedError,
        errors.ForbiddenError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.IllegalCommandError,
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
    "conversation_busy": errors.ConflictError,
    "currency_mismatch": errors.ConflictError,
    "message_too_long": errors.InvalidInputError,
    "not_at_stripe": errors.ConflictError,
    "payment_method_unusable": errors.ConflictError,
    "plan_code_taken": errors.ConflictError,
    "refund_exceeds_payment": errors.InvalidInputError,
    "stripe_resource_missing": errors.NotFoundError,
    "too_many_messages": errors.TooManyRequestsError,
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
        # Reason: such as a query while no worker polls.
        RPCStatusCode.FAILED_PRECONDITION,
        # Reason: what fails inside the server, such as its database, passes too.
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    },
)
# What the server says to an update above the number that one execution takes.
_UPDATE_LIMIT = "limit on the total number of distinct updates"
# Reason: a lazy client that cannot connect raises a bare RuntimeError with this beginning.
_NO_CONNECTION = "Failed client connect"
# The type by which the server says that a workflow ended with an update still open.
ENDED_FIRST = "AcceptedUpdateCompletedWorkflow"


def from_temporal(error: Exception) -> ApplicationError:
    """Translate what a Temporal client raises.

    Args:
        error: A failed workflow or update, or a call that did not get through.

    Returns:
        The error that it stands for; `internal_error` if nobody foresaw it.
    """
    if isinstance(error, WorkflowUpdateFailedError | WorkflowFailureError):
        return _from_failure(error)
    if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError):
        return errors.OutcomePendingError("the command goes on; the same key gets its answer")
    if isinstance(error, RPCError):
        if error.status is RPCStatusCode.NOT_FOUND:
            return WorkflowEndedError("there is no such workflow, or not any more")
        if _UPDATE_LIMIT in error.message:
            return errors.TooManyRequestsError("this workflow has taken as many commands as it can")
        is_down = error.status in _DOWN
    else:
        is_down = isinstance(error, RPCTimeoutOrCancelledError) or is_connect_failure(error)
    if is_down:
        return errors.UnavailableError("Temporal cannot be reached", "temporal_unavailable")
    return InternalError("something went wrong on our side")


def is_connect_failure(error: BaseException) -> bool:
    """Tell whether this is a Temporal client that could not connect."""
    return isinstance(error, RuntimeError) and str(error).startswith(_NO_CONNECTION)


def _from_failure(error: BaseException) -> ApplicationError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, TemporalApplicationError):
        cause = cause.__cause__
    if cause is None or cause.type is None:
        return InternalError("something went wrong on our side")
    if cause.type == ENDED_FIRST:
        return WorkflowEndedError("the workflow ended before it answered")
    kind = _BY_CODE.get(cause.type)
    if kind is None:
        return InternalError("something went wrong on our side")
    return kind(cause.message, cause.type, _facts(cause.details))


def _facts(details: Sequence[Any]) -> dict[str, Any]:
    return dict(details[0]) if details and isinstance(details[0], Mapping) else {}
