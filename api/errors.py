"""The one place where errors become HTTP: RFC 9457 problem documents."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from api.http.methods import allowed_methods
from database.session import DATABASE_DOWN, DATABASE_REFUSED, UNSTORABLE
from domain import errors
from domain.card_numbers import has_card_number
from domain.errors import ApplicationError

log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

# What a failure's type stands for: the code of a class, or one that an activity gave it.
_BY_CODE: dict[str, type[ApplicationError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ApplicationError)
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
_ENDED_FIRST = "AcceptedUpdateCompletedWorkflow"
# Messages that quote a part of what was sent; only their beginning is given back.
_QUOTING = frozenset({"uuid_parsing", "json_invalid", "datetime_parsing", "url_parsing"})
# An error about a field whose name the client made up.
_UNKNOWN_FIELD = "extra_forbidden"
# What the name of a field can be; anything else that a client sends as one is not given back.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
# How many faults of one body are told.
MAX_FAULT_COUNT = 20


class InternalError(ApplicationError):
    """Something went wrong that nobody foresaw; the log has its trace."""


class WorkflowEndedError(errors.NotFoundError):
    """There is no such workflow, or it has ended and answers no more."""


def problem_body(
    status: int,
    code: str,
    detail: str,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a problem document."""
    return {
        "type": f"/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "details": jsonable_encoder(details or {}),
    }


def problem(
    status: int,
    code: str,
    detail: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the answer that carries a problem document."""
    body = problem_body(status, code, detail, details)
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM_TYPE)


def from_application(error: ApplicationError) -> JSONResponse:
    """Render one of our own errors."""
    headers = {}
    if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.http_status, error.error_code, error.message, error.details, headers)


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
        return errors.UnavailableError("Temporal is not to be reached", "temporal_unavailable")
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
    if cause.type == _ENDED_FIRST:
        return WorkflowEndedError("the workflow ended before it answered")
    kind = _BY_CODE.get(cause.type)
    if kind is None:
        return InternalError("something went wrong on our side")
    return kind(cause.message, cause.type, _facts(cause.details))


def _facts(details: Sequence[Any]) -> dict[str, Any]:
    return dict(details[0]) if details and isinstance(details[0], Mapping) else {}


def describe(error: Mapping[str, Any]) -> dict[str, str]:
    """Tell what is wrong with an input, without giving any of its values back.

    Args:
        error: One of pydantic's error documents.

    Returns:
        The field (an unknown one by its name; never the key of a map), and a sentence.
    """
    place = [part for part in error["loc"] if isinstance(part, str)]
    message = str(error["msg"])
    if error["type"] in _QUOTING:
        message = message.split(",", maxsplit=1)[0]
    if error["type"] == _UNKNOWN_FIELD:
        field = named(".".join(place[:-1][:2]), place[-1])
    else:
        field = ".".join(place[:2])
    return {"field": field, "message": message}


def named(place: str, name: str) -> str:
    """Add a name that a client made up to a place, if it can be the name of a field at all."""
    is_name = _FIELD_NAME.fullmatch(name) is not None and not has_card_number(name)
    return f"{place}.{name}" if is_name else place


async def _application(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApplicationError)  # noqa: S101
    if isinstance(error, InternalError):
        log.error("internal_error", exc_info=error)
    return from_application(error)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [describe(each) for each in error.errors()[:MAX_FAULT_COUNT]]
    return problem(422, "invalid_input", "the input is not valid", {"errors": found})


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(allowed_methods(request)))
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return problem(error.status_code, code, phrase, headers=headers)


async def _database_down(_: Request, error: Exception) -> JSONResponse:
    log.warning("database_down", error=type(error).__name__)
    down = errors.UnavailableError("the database is not to be reached", "database_unavailable")
    return from_application(down)


async def _database_refused(_: Request, error: Exception) -> JSONResponse:
    # Reason: only its type is logged; its own words quote what was to be stored.
    log.error("database_refused", error=type(error).__name__)
    if isinstance(error, UNSTORABLE):
        return from_application(errors.InvalidInputError("the input cannot be stored"))
    return from_application(errors.DatabaseRefusedError("the database cannot store this"))


async def _temporal(_: Request, error: Exception) -> JSONResponse:
    translated = from_temporal(error)
    if isinstance(translated, InternalError):
        log.error("internal_error", exc_info=error)
    return from_application(translated)


def install_error_handlers(app: FastAPI) -> None:
    """Teach an app to render everything that may be raised in a route."""
    app.add_exception_handler(ApplicationError, _application)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TemporalError, _temporal)
    # Reason: a client that cannot connect raises RuntimeError; any other ends as internal_error.
    app.add_exception_handler(RuntimeError, _temporal)
    for kind in DATABASE_DOWN:
        app.add_exception_handler(kind, _database_down)
    for kind in DATABASE_REFUSED:
        app.add_exception_handler(kind, _database_refused)
