"""What is checked of every request before its route begins, in one place for all routes.

FastAPI reads and parses a body before it looks at anything else. Here credentials come first, then
the body, within its limits, and then whatever no route can take: unknown query parameters, and text
that PostgreSQL cannot store.
"""

import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from email.message import Message as MediaType
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.deps import check_credentials, get_admin, get_caller, get_maybe_caller
from api.errors import MAX_FAULT_COUNT, named
from api.http.body_limits import read_body
from api.http.card_guard import guard_card_numbers
from domain.errors import ApplicationError, InvalidInputError

# Reason: a megabyte of empty lists takes a fifth of a second to parse, in which nothing else is
# served. No body of this API has more than some dozens of values.
MAX_VALUE_COUNT = 10_000
NOT_STORABLE = "text holds a character that cannot be stored"

_READS_BODY = frozenset({"POST", "PUT", "PATCH"})
# Reason: it always matches up to the end, so that it never looks at a byte twice.
_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_JSON_MARKS = (b"[", b"{", b",")


class UnsupportedMediaTypeError(ApplicationError):
    """The body is of a kind that this route does not read."""

    code = "unsupported_media_type"
    http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class ReadRequest(Request):
    """A request whose body was read, and parsed if it is JSON."""

    def __init__(self, request: Request, content: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self.content = content
        self.document: Any = None

    async def body(self) -> bytes:
        """Return the raw body."""
        return self.content

    async def stream(self) -> Any:
        """Yield the raw body."""
        yield self.content
        yield b""

    async def json(self) -> Any:
        """Return the parsed body."""
        return self.document


class ApiRoute(APIRoute):
    """A route that refuses bad input before anything begins."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler into the checks."""
        handle = super().get_route_handler()
        dependants = list(_walk(self.dependant))
        calls = {each.call for each in dependants}
        known = {field.alias for each in dependants for field in each.query_params}
        is_form = self.body_field is not None and isinstance(self.body_field.field_info, Form)
        reads_json = self.body_field is not None and not is_form

        async def serve(request: Request) -> Response:
            guard_card_numbers(is_on=request.app.state.settings.is_card_number_guard_on)
            _check_parameters(request, known)
            if request.method not in _READS_BODY:
                return await handle(request)
            if calls & {get_caller, get_maybe_caller}:
                caller = await check_credentials(request, is_needed=get_caller in calls)
                if get_admin in calls and caller is not None:
                    await get_admin(caller)
            read = ReadRequest(request, await read_body(request))
            if reads_json and read.content:
                _check_media_type(request)
                read.document = parse_json(read.content)
            elif is_form:
                await _check_form(read)
            elif read.content:
                _check_is_empty(parse_json(read.content))
            return await handle(read)

        return serve


class ApiRouter(APIRouter):
    """A router whose routes refuse bad input before anything begins."""

    def __init__(self, **given: Any) -> None:
        super().__init__(route_class=ApiRoute, **given)


def parse_json(body: bytes) -> Any:
    """Return what a JSON body says.

    Args:
        body: The raw bytes.

    Returns:
        The document; all of its text can be stored.

    Raises:
        InvalidInputError: It is no JSON, holds too many values, or text that cannot be stored.
    """
    if _value_count(body) > MAX_VALUE_COUNT:
        raise _invalid("body", f"a body has {MAX_VALUE_COUNT} values at the most")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid("body", "JSON decode error") from error
    if b"\\u0000" in body and not all(is_storable(text) for text in _texts(document)):
        raise _invalid("body", NOT_STORABLE)
    return document


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can store a text: no NUL, no half of a surrogate pair."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _walk(each)


def _check_parameters(request: Request, known: set[str]) -> None:
    """Check path and query.

    Raises:
        InvalidInputError: A query parameter is unknown, or text cannot be stored.
    """
    for name, text in request.query_params.multi_items():
        if name not in known:
            raise _invalid(named("query", name), "there is no such query parameter")
        if not is_storable(text):
            raise _invalid(f"query.{name}", NOT_STORABLE)
    for name, text in request.path_params.items():
        if not is_storable(str(text)):
            raise _invalid(f"path.{name}", NOT_STORABLE)


def _check_media_type(request: Request) -> None:
    """Check that a body says to be plain JSON, or does not say what it is.

    Raises:
        UnsupportedMediaTypeError: It does not.
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaTypeError("a body is not compressed here")
    media = MediaType()
    media["content-type"] = request.headers.get("Content-Type", "application/json")
    subtype = media.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    if media.get_content_maintype() != "application" or not is_json:
        raise UnsupportedMediaTypeError("a body is application/json here")


def _check_is_empty(document: Any) -> None:
    """Check a body that a route does not need: nothing in it shall be overlooked.

    Raises:
        InvalidInputError: It says something.
    """
    if document in (None, {}):
        return
    names = list(document)[:MAX_FAULT_COUNT] if isinstance(document, dict) else [""]
    errors = [{"field": named("body", name), "message": "nothing is needed here"} for name in names]
    raise InvalidInputError("the input is not valid", details={"errors": errors})


async def _check_form(request: ReadRequest) -> None:
    """Parse a form, which the request keeps.

    Raises:
        InvalidInputError: It is no form, or holds text that cannot be stored.
    """
    try:
        form = await request.form()
    except HTTPException as error:
        raise _invalid("body", "form decode error") from error
    for name, value in form.multi_items():
        if not is_storable(name) or (isinstance(value, str) and not is_storable(value)):
            raise _invalid("body", NOT_STORABLE)


def _value_count(body: bytes) -> int:
    """Return about how many values a JSON text holds."""
    count = sum(map(body.count, _JSON_MARKS))
    if count > MAX_VALUE_COUNT:
        count = sum(map(_JSON_STRING.sub(b"", body).count, _JSON_MARKS))
    return count


def _texts(value: Any) -> Iterable[str]:
    """Yield all texts of a document, names of fields too."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as fields:
                left.extend(fields)
                left.extend(fields.values())
            case list() as items:
                left.extend(items)


def _invalid(field: str, message: str) -> InvalidInputError:
    errors = [{"field": field, "message": message}]
    return InvalidInputError("the input is not valid", details={"errors": errors})
