"""Describes the errors that a route may answer, each with an example as the product answers it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from api.errors import PROBLEM_TYPE, problem_body
from domain.errors import (
    ApplicationError,
    BadRequestError,
    CardDeclinedError,
    ConflictError,
    ForbiddenError,
    GoneError,
    IllegalCommandError,
    InvalidInputError,
    LimitReachedError,
    NotFoundError,
    OutcomePendingError,
    PaymentRefusedError,
    ProviderRejectedError,
    ProviderUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    WorkflowEndedError,
    WorkflowMissingError,
)
from domain.plans import overage_not_stackable

PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
EXAMPLE_ID = "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55"
_STRIPE = {"stripe_request_id": "req_8fJ2kXw0dQ1aZs", "is_replayed": False}

Responses = dict[int | str, dict[str, Any]]


def problems(*errors: ApplicationError) -> Responses:
    """Return the OpenAPI responses of errors, rendered as the API renders them.

    Errors that a route's checks bring with them (401, 408, 413, 415, 422, the reused key, the
    database) are added for all routes in `document.py`.
    """
    responses: Responses = {}
    add_problems(responses, errors)
    return responses


def add_problems(responses: Responses, errors: Iterable[ApplicationError]) -> None:
    """Add examples of errors to the responses of an operation; the first ones come first."""
    for error in errors:
        status = str(int(error.http_status))
        response = responses.setdefault(status, {"description": HTTPStatus(int(status)).phrase})
        content = response.setdefault("content", {})
        content.setdefault(PROBLEM_TYPE, {"schema": PROBLEM_SCHEMA, "examples": {}})
        examples = content[PROBLEM_TYPE]["examples"]
        earlier_count = sum(each["value"]["code"] == error.error_code for each in examples.values())
        name = f"{error.error_code}_{earlier_count + 1}" if earlier_count else error.error_code
        value = problem_body(int(status), error.error_code, error.message, error.details)
        examples[name] = {"summary": error.message, "value": value}


def no_such(what: str, code: str | None = None) -> NotFoundError:
    """Return the error for a resource that does not exist, or is not the caller's."""
    return NotFoundError(f"there is no such {what}", code)


def illegal(what: str, field: str, status: str) -> IllegalCommandError:
    """Return the error for a command that the status of a resource does not allow."""
    return IllegalCommandError(f"the {what} is {status}", details={field: status})


def invalid(*faults: tuple[str, str]) -> InvalidInputError:
    """Return the error for input that is not valid, from pairs of field and message."""
    errors = [{"field": field, "message": message} for field, message in faults]
    return InvalidInputError("the input is not valid", details={"errors": errors})


NOT_AUTHENTICATED = UnauthorizedError("a valid bearer token or API key is required")
WRONG_PASSWORD = UnauthorizedError(
    "the email address or the password is wrong", "invalid_credentials"
)
WRONG_TICKET = UnauthorizedError("the ticket belongs to another stream, or is no longer valid")
ADMIN_REQUIRED = ForbiddenError("only an administrator may do this", "admin_required")
PROMPT_FOR_ADMINS = ForbiddenError(
    "only an administrator may choose a version of the prompt", "admin_required"
)
ADMIN_REQUIRED_TO_IMPORT = ForbiddenError(
    "only an administrator may set a role or an external_id", "admin_required"
)
LONGER_TRIAL = ForbiddenError(
    "only an administrator can give a longer trial than the plan's",
    "admin_required",
    {"trial_days": 14},
)
COUPON_ADMIN = ForbiddenError(
    "only an administrator may apply a coupon; customers enter a promotion code", "admin_required"
)
APPROVER_REQUIRED = ForbiddenError(
    "only the role admin may decide this", "approver_required", {"approver_role": "admin"}
)

NO_SUCH_WORKFLOW = NotFoundError("there is no such workflow, or it no longer exists")
NO_SUCH_EXECUTION = WorkflowEndedError("the workflow does not exist or has ended")

KEY_REUSED = ConflictError(
    "this idempotency key was used with another body before", "idempotency_key_reused"
)
EMAIL_TAKEN = ConflictError("a user with this email exists already", "email_taken")
EXTERNAL_ID_TAKEN = ConflictError(
    "a user with this external_id exists already", "external_id_taken"
)
PLAN_CODE_TAKEN = ConflictError("a plan with this code exists already", "plan_code_taken")
CURRENCY_MISMATCH = ConflictError(
    "a customer can be billed in one currency only",
    "currency_mismatch",
    {"currency_code": "usd", "plan_currency_code": "eur"},
)
PAYMENT_DUE = IllegalCommandError(
    "the subscription is past_due: the unpaid invoice has to be paid first",
    "payment_due",
    {"subscription_status": "past_due"},
)
MANAGED_AT_STRIPE = IllegalCommandError(
    "a schedule that was made at Stripe manages the subscription; change it there",
    "managed_at_stripe",
    {"subscription_status": "active"},
)
PERIOD_NOT_PAID = IllegalCommandError(
    "the invoice of this period was given up, so none of it is credited; "
    "plan the change for the end of the period",
    "period_not_paid",
    {"subscription_status": "active"},
)
DISCOUNT_REFUSED = ConflictError(
    "This promotion code cannot be redeemed because it belongs to another customer.",
    "discount_refused",
    {"stripe_code": None, **_STRIPE, "param": "discounts[0][promotion_code]"},
)
CARD_UNUSABLE = ConflictError(
    "this card was detached or used before, and cannot be attached again",
    "payment_method_unusable",
)
CONVERSATION_BUSY = ConflictError(
    "another run of this conversation is not over yet", "conversation_busy"
)
UNKNOWN_CALL = ConflictError("there is no approval for this call", "unknown_call")
NO_QUESTION = ConflictError("the call is no question; decide it by `approve`", "no_question")
OTHER_ARGUMENTS = ConflictError(
    "the decision was made about other arguments than those of the call", "args_digest_mismatch"
)
APPROVAL_CLOSED = ConflictError(
    "the approval is already approved", "approval_closed", {"approval_status": "approved"}
)
LINK_EXPIRED = GoneError("the link has expired", "link_expired")

INVALID_ARGUMENTS = InvalidInputError(
    "wrong arguments: amount_cents: Input should be greater than 0", "invalid_arguments"
)
BAD_CURSOR = InvalidInputError("the cursor is not valid", "invalid_cursor")
UNKNOWN_RETRY_POLICY = InvalidInputError("there is no such retry policy", "unknown_retry_policy")
TRIAL_END_NOT_LATER = InvalidInputError(
    "the trial ends at that time, or later, already",
    "trial_end_not_later",
    {"trial_end": "2027-03-01T09:00:00+00:00"},
)
OVERAGE_NOT_STACKABLE = overage_not_stackable()
NOT_A_CARD = InvalidInputError("only cards are supported", "unsupported_payment_method")
_BETWEEN_STEPS = "an amount in kwd must be a multiple of 10"
AMOUNT_BETWEEN_STEPS = InvalidInputError(
    _BETWEEN_STEPS,
    details={"errors": [{"field": "body.amount_cents", "message": _BETWEEN_STEPS}]},
)
REFUND_TOO_HIGH = InvalidInputError(
    "the amount is more than what is left to refund",
    "refund_exceeds_payment",
    {"refundable_cents": 500},
)
INPUT_TOO_LONG = InvalidInputError(
    "the input has about 31004 tokens, and the agent can read 14000",
    "input_too_long",
    {"token_count": 31_004, "limit_token_count": 14_000},
)
MESSAGE_TOO_LONG = InvalidInputError(
    "the message has about 31004 tokens, and 12000 are left beside the input",
    "message_too_long",
    {"token_count": 31_004, "limit_token_count": 12_000},
)
INVALID_CRON = InvalidInputError("75 is not within 0 to 59", "invalid_cron")
UNKNOWN_TIME_ZONE = InvalidInputError("there is no such time zone", "unknown_time_zone")
BUDGET_LOWERED = InvalidInputError(
    "a budget can be raised only", "budget_lowered", {"current": 20_000, "wanted": 10_000}
)
WEBHOOK_ADDRESS_REFUSED = InvalidInputError("the address is not public", "webhook_address_refused")
WEBHOOK_ENDPOINT_OFF = IllegalCommandError(
    "the webhook endpoint is off", details={"is_active": False}
)

CARD_DECLINED = CardDeclinedError(
    "Your card has insufficient funds.",
    details={
        "stripe_code": "card_declined",
        **_STRIPE,
        "decline_code": "insufficient_funds",
        "advice_code": "try_again_later",
        "stripe_payment_intent_id": None,
    },
)
CHARGE_DECLINED = PaymentRefusedError(
    "the charge for the new period was declined",
    details={"decline_code": "insufficient_funds", "advice_code": "try_again_later"},
)
CHANGE_UNPAID = PaymentRefusedError(
    "the payment failed, so nothing was changed",
    details={
        "stripe_invoice_id": "in_1QxB2eZvKYlo2C",
        "decline_code": "insufficient_funds",
        "advice_code": "try_again_later",
    },
)
LIMIT_REACHED = LimitReachedError(
    "the plan's limit of 500 (agent_run_count) is used up in this period",
    details={
        "limit": "agent_run_count",
        "limit_value": 500,
        "resets_at": "2026-12-01T09:00:00+00:00",
    },
)
TOO_MANY_MESSAGES = TooManyRequestsError(
    "the run has many messages that the model has not read yet; try again later",
    "too_many_messages",
    {"token_count": 120, "limit_token_count": 12_000, "unread_message_count": 20},
)
TOO_MANY_STREAMS = TooManyRequestsError(
    "a user may have at most 20 open streams", "too_many_streams", {"limit": 20}
)

WRONG_SIGNATURE = BadRequestError("the signature is missing, wrong or too old", "invalid_signature")
STRIPE_REJECTED = ProviderRejectedError(
    "Received unknown parameter: payment_behaviour",
    details={"stripe_code": "parameter_unknown", **_STRIPE, "param": "payment_behaviour"},
)
REFUND_REJECTED = ProviderRejectedError(
    "Stripe refused the refund", details={"stripe_code": "charge_disputed"}
)
UNKNOWN_AT_STRIPE = NotFoundError(
    "No such PaymentMethod: 'pm_1QxB2eZvKYlo2C'",
    "stripe_resource_missing",
    {"stripe_code": "resource_missing", **_STRIPE, "param": "payment_method"},
)

DATABASE_DOWN = UnavailableError("the database cannot be reached", "database_unavailable")
TEMPORAL_DOWN = UnavailableError("Temporal cannot be reached", "temporal_unavailable")
STRIPE_DOWN = ProviderUnavailableError(
    "Stripe cannot be reached",
    details={"stripe_code": None, "stripe_request_id": None, "is_replayed": False},
)
CHROMA_DOWN = UnavailableError("Chroma cannot be reached", "chroma_unavailable")
DOCUMENT_IN_LINE = UnavailableError("other documents come first", "document_in_line")
INBOX_FULL = UnavailableError("too many events are waiting to be written", "inbox_full")
WORKFLOW_MISSING = WorkflowMissingError("the workflow is not running")


def pending(*fields: str) -> OutcomePendingError:
    """Return the error for a command that goes on after the time of its request."""
    message = "the command is still running; repeat it with the same key for its answer"
    return OutcomePendingError(message, details=dict.fromkeys(fields, EXAMPLE_ID))


def operation_pending() -> OutcomePendingError:
    """Return the error for an operation at Stripe that goes on after the time of its request."""
    error = pending("operation_id")
    error.details["workflow_id"] = f"stripe-operation-{EXAMPLE_ID}"
    return error


def start_pending(what: str, field: str) -> OutcomePendingError:
    """Return the error for a resource that is not created within the time of its request."""
    message = f"the {what} is not created yet; its start goes on"
    return OutcomePendingError(message, details={field: EXAMPLE_ID})
