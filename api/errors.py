"""The one place where errors become HTTP: RFC 9457 problem documents."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from temporalio.exceptions import TemporalError

from adapters.temporal.errors import from_temporal
from api.http.methods import allowed_methods
from database.session import DATABASE_DOWN, DATABASE_REFUSED, UNSTORABLE
from domain import errors
from domain.card_numbers import has_card_number
from domain.errors import ApplicationError, InternalError

log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

# Messages that quote a part of what was sent; only their beginning is given back.
_QUOTING = frozenset({"uuid_parsing", "json_invalid", "datetime_parsing", "url_parsing"})
# An error about a field whose name the client made up.
_UNKNOWN_FIELD = "extra_forbidden"
# What the name of a field can be; anything else that a client sends as one is not given back.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
# How many faults of one body are told.
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
    down = errors.UnavailableError("the database cannot be reached", "database_unavailable")
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
