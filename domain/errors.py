"""The one error tree.

HTTP (`api/errors.py`) and Temporal (`activities/interceptors.py`) each render it in one place.

ApplicationError
├── BadRequestError             400
├── UnauthorizedError           401
├── ForbiddenError              403
├── NotFoundError               404
│   └── WorkflowEndedError      404  it answers no more
├── ConflictError               409
│   └── IllegalCommandError     409  the state is in `details`
├── InvalidInputError           422
├── TooManyRequestsError        429  this caller has enough under way
├── PaymentRefusedError         402
│   └── CardDeclinedError       402  the issuer said no
├── EntitlementRequiredError    402  no subscription gives access
│   ├── LimitReachedError       402  the plan's limit is used up
│   └── BudgetExceededError     402  a run's budget does not suffice
├── ProviderRejectedError       502  the provider refused our request for good
├── UnreadableAnswerError       502  the provider's answer has a shape that we cannot read
├── InternalError               500  a defect; the log has its trace
├── DatabaseRefusedError        500  a value or a statement that the database can never take
└── UnavailableError            503  try again
    ├── OutcomePendingError     503  the command goes on; the same key gets its answer
    ├── WorkflowMissingError    503  somebody has terminated what should run
    └── ProviderUnavailableError 503  a provider is down or its answer was lost
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ApplicationError(Exception):
    """Base of every error that this service raises on purpose.

    Args:
        message: Sentence for a person.
        code: Stable machine-readable name; defaults to the class's own.
        details: JSON-safe facts about this occurrence.
    """

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    is_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.details = dict(details or {})


class BadRequestError(ApplicationError):
    """The request cannot be understood or trusted."""

    code = "bad_request"
    http_status = 400


class UnauthorizedError(ApplicationError):
    """No valid credentials came with the request."""

    code = "unauthorized"
    http_status = 401


class ForbiddenError(ApplicationError):
    """The caller may see this exists, but not do it."""

    code = "forbidden"
    http_status = 403


class NotFoundError(ApplicationError):
    """The named thing does not exist, or not for this caller."""

    code = "not_found"
    http_status = 404


class ConflictError(ApplicationError):
    """The request contradicts what is there already."""

    code = "conflict"
    http_status = 409


class IllegalCommandError(ConflictError):
    """The command does not fit the current state, which stands in `details`."""

    code = "illegal_command"


class InvalidInputError(ApplicationError):
    """The input has the right shape and the wrong meaning."""

    code = "invalid_input"
    http_status = 422


class TooManyRequestsError(ApplicationError):
    """The caller has as much under way as one may have."""

    code = "too_many_requests"
    http_status = 429


class PaymentRefusedError(ApplicationError):
    """Money did not move."""

    code = "payment_failed"
    http_status = 402


class CardDeclinedError(PaymentRefusedError):
    """The issuer refused; `details` carries `decline_code` and `advice_code`."""

    code = "card_declined"


class EntitlementRequiredError(ApplicationError):
    """No subscription of this user gives access; `details` says what to do."""

    code = "entitlement_required"
    http_status = 402


class LimitReachedError(EntitlementRequiredError):
    """The plan's limit is used up; `details` carries `limit` and `resets_at`."""

    code = "limit_reached"


class BudgetExceededError(EntitlementRequiredError):
    """What is left does not suffice for the next call of a model."""

    code = "budget_exceeded"


class ProviderRejectedError(ApplicationError):
    """A provider understood our request and refused it for good."""

    code = "provider_rejected"
    http_status = 502


class UnreadableAnswerError(ApplicationError):
    """A provider's answer lacks what we cannot do without, or has it in a shape unknown to us."""

    code = "unreadable_answer"
    http_status = 502


class DatabaseRefusedError(ApplicationError):
    """The database can never store this; nothing was changed."""

    code = "database_refused"


class UnavailableError(ApplicationError):
    """Something this needs is down; trying again later can help."""

    code = "unavailable"
    http_status = 503
    is_retryable = True


class OutcomePendingError(UnavailableError):
    """The command was accepted and goes on; the same idempotency key gets its answer."""

    code = "outcome_pending"


class WorkflowMissingError(UnavailableError):
    """Work is not done, but its workflow does not run any more: somebody has terminated it."""

    code = "workflow_missing"


class ProviderUnavailableError(UnavailableError):
    """A provider is down, or its answer was lost and the outcome is unknown."""

    code = "provider_unavailable"


class InternalError(ApplicationError):
    """A defect of this service; the log has its trace."""


class WorkflowEndedError(NotFoundError):
    """There is no such workflow, or it has ended and answers no more."""
