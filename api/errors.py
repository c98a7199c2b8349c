"""Translates errors into HTTP responses with problem documents (RFC 9457)."""

import re
from collections.abc import Awaitable, Callable, Container, Mapping
from http import HTTPStatus
from itertools import takewhile
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from adapters.temporal.errors import LATE, from_temporal
from api.http.handled_request import is_repeatable
from api.http.locations import location_of
from api.http.methods import allowed_methods
from database.session import DATABASE_DOWN, DATABASE_REFUSED, UNSTORABLE
from domain import errors
from domain.card_numbers import has_card_number
from domain.errors import (
    ApplicationError,
    InternalError,
    OutcomePendingError,
    TooManyRequestsError,
)

log = structlog.get_logger(__name__)

ErrorHandler = Callable[[Request, Exception], Awaitable[JSONResponse]]

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
PENDING_WITHOUT_KEY = "the command goes on; read it at Location, and do not send the request again"
UNKNOWN_WITHOUT_KEY = (
    "the command may still take effect; look for it before you send the request again"
)

# Error types of pydantic whose message quotes the input; only its beginning is returned.
_QUOTING = frozenset({"uuid_parsing", "json_invalid", "datetime_parsing", "url_parsing"})
# Error type of pydantic for a field that the schema does not have.
_UNKNOWN_FIELD = "extra_forbidden"
# Pattern of a field name; any other name that a client sends is not returned to the client.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
# Maximum number of faults that are reported for one request.
MAX_FAULT_COUNT = 20


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
    """Build the response that carries a problem document."""
    body = problem_body(status, code, detail, details)
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM_TYPE)


def from_application(error: ApplicationError, scope: Scope) -> JSONResponse:
    """Build the response for one of our own errors to the request with this scope."""
    headers, message = {}, error.message
    is_pending = isinstance(error, OutcomePendingError)
    location = location_of(error.details) if is_pending else None
    if location:
        headers["Location"] = location
    # Reason: without an Idempotency-Key, a repeat of what goes on would do it twice.
    if (is_pending or _may_have_begun(error)) and not is_repeatable(scope):
        message = PENDING_WITHOUT_KEY if location else UNKNOWN_WITHOUT_KEY
    elif error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif isinstance(error, TooManyRequestsError) and "retry_after_seconds" in error.details:
        headers["Retry-After"] = str(error.details["retry_after_seconds"])
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.http_status, error.error_code, message, error.details, headers)


def _may_have_begun(error: ApplicationError) -> bool:
    """Return whether Temporal did not answer in time, so that the work may have begun."""
    cause = error.__cause__
    return isinstance(cause, RPCError) and cause.status in LATE


def describe(error: Mapping[str, Any], field_names: Container[str] = ()) -> dict[str, str]:
    """Describe what is wrong with an input, without repeating any of its values.

    Args:
        error: Error document of pydantic.
        field_names: Names of fields within the fields of the body, and keys that a map may have.

    Returns:
        `field` (the path, with the name of an unknown field, but never with an unknown key of a
        map) and `message`.
    """
    parts = [part for part in error["loc"] if isinstance(part, str)]
    is_unknown = error["type"] == _UNKNOWN_FIELD
    declared = parts[:-1] if is_unknown else parts
    # Reason: the key of a map may be anything that a client sends, and is never returned.
    field = ".".join([*declared[:2], *takewhile(field_names.__contains__, declared[2:])])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] in _QUOTING:
        message = message.split(",", maxsplit=1)[0]
    return {"field": named(field, parts[-1]) if is_unknown else field, "message": message}


def named(location: str, name: str) -> str:
    """Append a name that a client chose to a location, if it can be the name of a field."""
    is_storable_name = _FIELD_NAME.fullmatch(name) is not None and not has_card_number(name)
    return f"{location}.{name}" if is_storable_name else location


async def _handle_application_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApplicationError)  # noqa: S101
    if isinstance(error, InternalError):
        log.error("internal_error", exc_info=error)
    return from_application(error, request.scope)


async def _handle_invalid_input(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    names: Container[str] = getattr(request.state, "field_names", ())
    faults = [describe(each, names) for each in error.errors()[:MAX_FAULT_COUNT]]
    return problem(422, "invalid_input", "the input is not valid", {"errors": faults})


async def _handle_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(allowed_methods(request)))
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return problem(error.status_code, code, phrase, headers=headers)


async def _handle_database_down(request: Request, error: Exception) -> JSONResponse:
    log.warning("database_down", error=type(error).__name__)
    down = errors.UnavailableError("the database cannot be reached", "database_unavailable")
    return from_application(down, request.scope)


async def _handle_database_refused(request: Request, error: Exception) -> JSONResponse:
    # Reason: only the type is logged; the message quotes the values that were to be stored.
    log.error("database_refused", error=type(error).__name__)
    refused: ApplicationError = errors.DatabaseRefusedError("the database cannot store this")
    if isinstance(error, UNSTORABLE):
        refused = errors.InvalidInputError("the input cannot be stored")
    return from_application(refused, request.scope)


async def _handle_temporal_error(request: Request, error: Exception) -> JSONResponse:
    translated = from_temporal(error)
    if isinstance(translated, InternalError):
        log.error("internal_error", exc_info=error)
    return from_application(translated, request.scope)


# Handler of every kind of error that a route may raise.
ERROR_HANDLERS: Mapping[type[Exception], ErrorHandler] = {
    ApplicationError: _handle_application_error,
    RequestValidationError: _handle_invalid_input,
    HTTPException: _handle_http_error,
    TemporalError: _handle_temporal_error,
    # Reason: a Temporal client that cannot connect raises RuntimeError; the handler translates any
    # other RuntimeError to `internal_error`.
    RuntimeError: _handle_temporal_error,
    **dict.fromkeys(DATABASE_DOWN, _handle_database_down),
    **dict.fromkeys(DATABASE_REFUSED, _handle_database_refused),
}


async def answer_to(request: Request, error: Exception) -> JSONResponse:
    """Return the response to an error that a route raises.

    Raises:
        Exception: The error itself, if nobody expects it.
    """
    for kind in type(error).__mro__:
        if handle := ERROR_HANDLERS.get(kind):
            return await handle(request, error)
    raise error


def install_error_handlers(app: FastAPI) -> None:
    """Register a handler for every kind of error that a route may raise."""
    for kind, handle in ERROR_HANDLERS.items():
        app.add_exception_handler(kind, handle)
