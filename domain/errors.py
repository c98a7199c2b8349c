"""The tree of all errors that the application raises.

`api/errors.py` turns them into HTTP answers, `activities/interceptors.py` into Temporal failures.

ApplicationError
├── BadRequestError             400
├── UnauthorizedError           401
├── ForbiddenError              403
├── NotFoundError               404
│   └── WorkflowEndedError      404  the workflow has ended or never existed
├── ConflictError               409
│   └── IllegalCommandError     409  the state forbids the command; it is in `details`
├── GoneError                   410  the resource was there for a time that is over
├── InvalidInputError           422
├── TooManyRequestsError        429  the caller has reached the limit of open work
├── PaymentRefusedError         402
│   └── CardDeclinedError       402  the issuer declined the card
├── EntitlementRequiredError    402  no subscription gives access
│   ├── LimitReachedError       402  the plan's limit is used up
│   └── BudgetExceededError     402  the budget of a run is used up
├── ProviderRejectedError       502  the provider refused our request permanently
├── UnreadableAnswerError       502  the provider's answer has an unexpected shape
├── InternalError               500  a defect; the log has the traceback
├── DatabaseRefusedError        500  the database can never accept the statement or a value
└── UnavailableError            503  try again
    ├── OutcomePendingError     503  the command continues; retry with the same key
    ├── WorkflowMissingError    503  a workflow with open work was terminated
    └── ProviderUnavailableError 503  a provider is down, or its answer was lost
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ApplicationError(Exception):
    """Base of all errors that the application raises on purpose.

    Args:
        message: Explanation for people.
        code: Stable name for programs; defaults to the code of the class.
        details: JSON-serialisable facts about this occurrence.
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
    """The request is malformed or not authentic."""

    code = "bad_request"
    http_status = 400


class UnauthorizedError(ApplicationError):
    """The request has no valid credentials."""

    code = "unauthorized"
    http_status = 401


class ForbiddenError(ApplicationError):
    """The caller is known, but is not allowed to do this."""

    code = "forbidden"
    http_status = 403


class NotFoundError(ApplicationError):
    """The resource does not exist, or the caller may not see it."""

    code = "not_found"
    http_status = 404


class ConflictError(ApplicationError):
    """The request conflicts with the existing state."""

    code = "conflict"
    http_status = 409


class IllegalCommandError(ConflictError):
    """The current state does not allow the command; `details` has the state."""

    code = "illegal_command"


class GoneError(ApplicationError):
    """The resource was there for a time that is over."""

    code = "gone"
    http_status = 410


class InvalidInputError(ApplicationError):
    """The input has the right shape, but a value is not acceptable."""

    code = "invalid_input"
    http_status = 422


class TooManyRequestsError(ApplicationError):
    """The caller has reached the limit of requests or open work."""

    code = "too_many_requests"
    http_status = 429


class PaymentRefusedError(ApplicationError):
    """A payment was refused; no money was moved."""

    code = "payment_failed"
    http_status = 402


class CardDeclinedError(PaymentRefusedError):
    """The issuer declined the card; `details` has `decline_code` and `advice_code`."""

    code = "card_declined"


class EntitlementRequiredError(ApplicationError):
    """No subscription of the user gives access; `details` says what to do."""

    code = "entitlement_required"
    http_status = 402


class LimitReachedError(EntitlementRequiredError):
    """The plan's limit is used up; `details` has `limit` and `resets_at`."""

    code = "limit_reached"


class BudgetExceededError(EntitlementRequiredError):
    """The rest of the budget is too small for the next model call."""

    code = "budget_exceeded"


class ProviderRejectedError(ApplicationError):
    """A provider understood our request and refused it permanently."""

    code = "provider_rejected"
    http_status = 502


class UnreadableAnswerError(ApplicationError):
    """A required part of a provider's answer is missing or has an unexpected shape."""

    code = "unreadable_answer"
    http_status = 502


class DatabaseRefusedError(ApplicationError):
    """The database can never accept this value or statement; nothing was changed."""

    code = "database_refused"


class UnavailableError(ApplicationError):
    """A required system is down; the same request may succeed later."""

    code = "unavailable"
    http_status = 503
    is_retryable = True


class OutcomePendingError(UnavailableError):
    """The command was accepted and continues; the same idempotency key returns its answer.

    `details` has the ids of what continues.
    """

    code = "outcome_pending"


class WorkflowMissingError(UnavailableError):
    """There is work to do, but the workflow that should do it was terminated."""

    code = "workflow_missing"


class ProviderUnavailableError(UnavailableError):
    """A provider is down, or its answer was lost and the outcome is unknown."""

    code = "provider_unavailable"


class BatchPendingError(ProviderUnavailableError):
    """A provider has not answered a batch yet; `details` say when to look again."""

    code = "model_batch_pending"


class InternalError(ApplicationError):
    """A defect of this application; the log has the traceback."""


class WorkflowEndedError(NotFoundError):
    """The workflow does not exist or has ended, so it answers no queries or updates."""
