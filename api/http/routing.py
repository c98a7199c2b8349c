"""Checks every request before its route begins.

FastAPI reads and parses a body before it checks anything else. Here unknown query parameters are
refused first, then credentials are checked, and then the body is read within its limits and parsed.
Text that PostgreSQL cannot store is refused everywhere.
"""

import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from email.message import Message as MediaType
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from api.deps import check_credentials, get_admin, get_caller, get_maybe_caller
from api.errors import MAX_FAULT_COUNT, named
from api.http.body_limits import read_body
from api.http.card_guard import guard_card_numbers
from domain.errors import ApplicationError, InvalidInputError

# Reason: parsing a megabyte of empty lists blocks the event loop for a fifth of a second. Bodies of
# this API have a few dozen values.
MAX_VALUE_COUNT = 10_000
NOT_STORABLE = "the text contains a character that cannot be stored"

_READS_BODY = frozenset({"POST", "PUT", "PATCH"})
# Reason: the pattern matches an unclosed string up to the end, so no byte is scanned twice.
_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_MULTIPART = "multipart/form-data"
_FORMS = ("application/x-www-form-urlencoded", _MULTIPART)
_JSON_MARKS = (b"[", b"{", b",")


class UnsupportedMediaTypeError(ApplicationError):
    """The media type of the body is not supported by this route."""

    code = "unsupported_media_type"
    http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class ReadRequest(Request):
    """A request whose body was read already, and parsed if it is JSON."""

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
    """A route that refuses invalid requests before its function runs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, wrapped in the checks."""
        handle = super().get_route_handler()
        dependants = list(_walk(self.dependant))
        calls = {each.call for each in dependants}
        known = {field.alias for each in dependants for field in each.query_params}
        is_form = self.body_field is not None and isinstance(self.body_field.field_info, Form)
        forms: tuple[str, ...] = _FORMS
        if self.body_field and getattr(self.body_field.field_info, "media_type", "") == _MULTIPART:
            forms = (_MULTIPART,)
        reads_json = self.body_field is not None and not is_form
        names = field_names(self.body_field.field_info.annotation) if self.body_field else None

        async def serve(request: Request) -> Response:
            # Reason: the handler of `RequestValidationError` names the fields of the body by them.
            request.state.field_names = names or frozenset()
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
                if read.content:
                    _check_form_type(request, forms)
                await _check_form(read)
            elif read.content:
                _check_is_empty(parse_json(read.content))
            return await handle(read)

        return serve


class ApiRouter(APIRouter):
    """A router whose routes refuse invalid requests before their functions run."""

    def __init__(self, *, route_class: type[ApiRoute] = ApiRoute, **options: Any) -> None:
        super().__init__(route_class=route_class, **options)


def field_names(model: Any) -> frozenset[str]:
    """Return the names of all fields of a model and of the models in it, and keys of their maps."""
    schema = TypeAdapter(model).json_schema()
    parts = (schema, *schema.get("$defs", {}).values())
    return frozenset(name for part in parts for name in _names_in(part))


def _names_in(schema: dict[str, Any]) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield name
        for each in (field, *field.get("anyOf", ())):
            keys = each.get("propertyNames", {})
            yield from keys.get("enum", [keys["const"]] if "const" in keys else ())


def parse_json(body: bytes) -> Any:
    """Parse a JSON body.

    Returns:
        The document; all of its text can be stored.

    Raises:
        InvalidInputError: The body is not JSON, or has too many values or text that cannot be
            stored.
    """
    if _value_count(body) > MAX_VALUE_COUNT:
        raise _invalid("body", f"the body has more than {MAX_VALUE_COUNT} values")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid("body", "the body is not valid JSON") from error
    if b"\\u0000" in body and not all(is_storable(text) for text in _texts(document)):
        raise _invalid("body", NOT_STORABLE)
    return document


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: it has no NUL and no lone surrogate."""
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
    """Check the parameters in the path and in the query.

    Raises:
        InvalidInputError: A query parameter is unknown, or a text cannot be stored.
    """
    for name, text in request.query_params.multi_items():
        if name not in known:
            raise _invalid(named("query", name), "this query parameter does not exist")
        if not is_storable(text):
            raise _invalid(f"query.{name}", NOT_STORABLE)
    for name, text in request.path_params.items():
        if not is_storable(str(text)):
            raise _invalid(f"path.{name}", NOT_STORABLE)


def _check_media_type(request: Request) -> None:
    """Check that a body is declared as uncompressed JSON, or not declared at all.

    Raises:
        UnsupportedMediaTypeError: The body is compressed, or of another media type.
    """
    kind, _, subtype = _media_type(request, default="application/json").partition("/")
    if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
        raise UnsupportedMediaTypeError("the body must be application/json")


def _check_form_type(request: Request, allowed: Sequence[str]) -> None:
    """Check that a body is declared as an uncompressed form.

    Raises:
        UnsupportedMediaTypeError: The body is compressed, or of another media type.
    """
    if _media_type(request, default="") not in allowed:
        raise UnsupportedMediaTypeError(f"the body must be {allowed[0]}")


def _media_type(request: Request, default: str) -> str:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaTypeError("compressed bodies are not supported")
    media = MediaType()
    media["content-type"] = request.headers.get("Content-Type", default)
    return media.get_content_type()


def _check_is_empty(document: Any) -> None:
    """Check that the body of a route without input is empty, so that no field is ignored.

    Raises:
        InvalidInputError: The body has content.
    """
    if document in (None, {}):
        return
    names = list(document)[:MAX_FAULT_COUNT] if isinstance(document, dict) else [""]
    errors = [{"field": named("body", name), "message": "no input is expected"} for name in names]
    raise InvalidInputError("the input is not valid", details={"errors": errors})


async def _check_form(request: ReadRequest) -> None:
    """Parse the form in a request, which caches the result.

    Raises:
        InvalidInputError: The body is not a form, has a field twice, or holds text that cannot be
            stored.
    """
    try:
        form = await request.form()
    except HTTPException as error:
        raise _invalid("body", "the body is not a valid form") from error
    items = form.multi_items()
    texts = [text for item in items for text in item if isinstance(text, str)]
    fault = None if all(map(is_storable, texts)) else NOT_STORABLE
    if len(items) > len(form):
        fault = "a field of the form is there twice"
    if fault is not None:
        await form.close()
        raise _invalid("body", fault)


def _value_count(body: bytes) -> int:
    """Return the approximate number of values in a JSON text."""
    count = sum(map(body.count, _JSON_MARKS))
    if count > MAX_VALUE_COUNT:
        count = sum(map(_JSON_STRING.sub(b"", body).count, _JSON_MARKS))
    return count


def _texts(value: Any) -> Iterable[str]:
    """Yield all texts of a document, including the names of fields."""
    pending = [value]
    while pending:
        match pending.pop():
            case str() as text:
                yield text
            case dict() as fields:
                pending.extend(fields)
                pending.extend(fields.values())
            case list() as items:
                pending.extend(items)


def _invalid(field: str, message: str) -> InvalidInputError:
    errors = [{"field": field, "message": message}]
    return InvalidInputError("the input is not valid", details={"errors": errors})
