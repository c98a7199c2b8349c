"""Builds the HTTP requests of tools that are declared in files. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from domain.errors import InvalidInputError

# What a template may name besides arguments: facts about the call, which no model chooses.
FACTS = frozenset({"agent_run_id", "call_id", "conversation_id", "external_id", "user_id"})
# `${env:NAME}` or `${file:PATH}` refers to a secret, `{name}` to an argument or a fact.
_PART = re.compile(r"\$\{(?P<secret>[^{}]+)\}|\{(?P<name>[^{}]+)\}")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_DOTS = frozenset({".", ".."})


class Place(StrEnum):
    """The part of a request that holds an argument."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"
    WHOLE_BODY = "whole_body"


_BODIES = frozenset({Place.BODY, Place.WHOLE_BODY})


@dataclass(frozen=True)
class RequestTemplate:
    """Template of the requests of one tool.

    Args:
        method: Method in capitals.
        url: Address with placeholders and references to secrets.
        headers: Headers with placeholders and references to secrets.
        places: Place of each argument; those in the address have `Place.PATH`.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)


class HttpRequest(NamedTuple):
    """A request of a tool, with its secrets."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


def placeholders(template: str) -> frozenset[str]:
    """Return the names of arguments and facts in a template."""
    return frozenset(part["name"] for part in _PART.finditer(template) if part["name"])


def secrets_in(template: str) -> frozenset[str]:
    """Return the references to secrets in a template, such as `env:CRM_TOKEN`."""
    return frozenset(part["secret"] for part in _PART.finditer(template) if part["secret"])


def render(
    template: str,
    values: Mapping[str, Any],
    secrets: Mapping[str, str],
    encode: Callable[[str], str] = str,
) -> str:
    """Fill a template.

    Args:
        template: Template with placeholders and references.
        values: Arguments and facts by name.
        secrets: Secrets by reference; they are never encoded.
        encode: Encodes each value.
    """

    def fill(part: re.Match[str]) -> str:
        if part["secret"]:
            return secrets[part["secret"]]
        return encode(_text(values[part["name"]]))

    return _PART.sub(fill, template)


def percent_encoded(text: str) -> str:
    """Return a text in which every character but letters, digits and `-._~` is encoded."""
    return quote(text, safe="")


def build_request(
    template: RequestTemplate,
    arguments: Mapping[str, Any],
    facts: Mapping[str, str],
    secrets: Mapping[str, str],
) -> HttpRequest:
    """Build the request of a tool call.

    Args:
        template: Template of the tool's requests.
        arguments: Arguments, which the tool's schema allows.
        facts: Facts about the call, by name.
        secrets: Secrets by reference.

    Raises:
        InvalidInputError: A value cannot be in a path or a header.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    placed = {
        place: {name: value for name, value in given.items() if template.places.get(name) is place}
        for place in Place
    }
    values = {**placed[Place.PATH], **facts}
    path, mark, query = template.url.partition("?")
    for name in sorted(placeholders(path)):
        _check_path_value(name, _text(values[name]))
    url = render(path, values, secrets, percent_encoded)
    pairs = [render(query, values, secrets, percent_encoded)] if mark else []
    pairs += _query_pairs(placed[Place.QUERY])
    headers = {
        name: _checked_header(name, render(value, facts, secrets))
        for name, value in template.headers.items()
    }
    for name, value in placed[Place.HEADER].items():
        headers[name] = _checked_header(name, _text(value))
    content = _content(placed, has_body=bool(_BODIES & set(template.places.values())))
    if content is not None:
        headers["Content-Type"] = "application/json"
    url = f"{url}?{'&'.join(pairs)}" if pairs else url
    return HttpRequest(template.method, url, headers, content)


def _content(placed: Mapping[Place, Mapping[str, Any]], *, has_body: bool) -> bytes | None:
    if not has_body:
        return None
    whole = placed[Place.WHOLE_BODY]
    document = next(iter(whole.values())) if whole else placed[Place.BODY]
    return json.dumps(document).encode()


def _query_pairs(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{percent_encoded(name)}={percent_encoded(_text(each))}"
        for name, value in values.items()
        for each in _each(value)
    ]


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """Return a value as it stands in an address or a header."""
    return value if isinstance(value, str) else json.dumps(value)


def _check_path_value(name: str, value: str) -> None:
    """Refuse what a server could take for another path than that of the template."""
    parts = re.split(r"[/\\]", value)
    if not value or not _DOTS.isdisjoint(parts):
        raise InvalidInputError(f"{name}: cannot be part of a path", "invalid_arguments")


def _checked_header(name: str, value: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise InvalidInputError(f"{name}: cannot be part of a header", "invalid_arguments")
    return value
