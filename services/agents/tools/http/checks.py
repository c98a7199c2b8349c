"""Checks what the fields of an HTTP tool's file say together."""

from collections.abc import Collection, Iterator, Mapping

import httpx

from agents.tools.http_tool import HttpToolSpec, ToolEffect
from domain.agents.tools.http_requests import FACTS, Place, placeholders, render, secrets_in
from services.agents.tools.http.openapi import Operation

_OF_BUSINESS_KEYS = frozenset({"agent_run_id", "conversation_id"})


def effect_of(spec: HttpToolSpec, method: str) -> ToolEffect:
    """Return whether a tool writes; without a word about it, all methods but GET do."""
    return spec.effect or (ToolEffect.READ if method == "GET" else ToolEffect.WRITE)


def find_problems(
    spec: HttpToolSpec, operation: Operation, secrets: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a tool: the field, and the problem.

    Args:
        spec: The file of the tool.
        operation: What it calls.
        secrets: Its secrets by reference.
    """
    known = frozenset(operation.arguments.get("properties", {}))
    certain = FACTS | frozenset(operation.arguments.get("required", []))
    if clash := known & FACTS:
        yield "arguments", f"{', '.join(sorted(clash))} cannot be arguments: they are facts"
    yield from _place_problems(spec, operation, known)
    yield from _template_problems("url", operation.url, certain)
    yield from _address_problems("url", operation.url, secrets)
    for name, value in spec.headers.items():
        yield from _template_problems(f"headers.{name}", value, FACTS)
    if effect_of(spec, operation.method) is ToolEffect.READ:
        yield from _effect_problems(spec)
    if spec.lookup is not None:
        yield from _template_problems("lookup", spec.lookup, certain)
        yield from _address_problems("lookup", spec.lookup, secrets)
    if spec.business_key is not None:
        allowed = (certain - FACTS) | _OF_BUSINESS_KEYS
        yield from _template_problems("business_key", spec.business_key, allowed)


def _place_problems(
    spec: HttpToolSpec, operation: Operation, known: Collection[str]
) -> Iterator[tuple[str, str]]:
    for name, place in spec.places.items():
        if name not in known:
            yield f"places.{name}", "there is no such argument"
        elif (place is Place.PATH) != (name in placeholders(operation.url)):
            yield f"places.{name}", "an argument is in the path if, and only if, `url` names it"
    placed = list(operation.places.values())
    if Place.WHOLE_BODY in placed and (Place.BODY in placed or placed.count(Place.WHOLE_BODY) > 1):
        yield "places", "beside a whole body there can be no other argument in the body"


def _effect_problems(spec: HttpToolSpec) -> Iterator[tuple[str, str]]:
    for field in ("idempotency_header", "lookup", "business_key"):
        if getattr(spec, field) is not None:
            yield field, 'is of tools that write only; they say effect = "write"'


def _template_problems(
    field: str, template: str, allowed: Collection[str]
) -> Iterator[tuple[str, str]]:
    if field == "business_key" and secrets_in(template):
        yield field, "cannot have a secret"
    for name in sorted(placeholders(template) - frozenset(allowed)):
        yield field, f"{{{name}}} is neither a required argument nor a fact that is known here"


def _address_problems(
    field: str, template: str, secrets: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an address; a model must not choose where it leads."""
    shown = render(template, dict.fromkeys(placeholders(template), "x"), secrets)
    other = render(template, dict.fromkeys(placeholders(template), "y"), secrets)
    try:
        first, second = httpx.URL(shown), httpx.URL(other)
    except (httpx.InvalidURL, UnicodeError):
        yield field, "is no address"
        return
    if first.scheme not in {"http", "https"} or not first.host:
        yield field, "must begin with http:// or https:// and a host"
    if (first.scheme, first.netloc) != (second.scheme, second.netloc):
        yield field, "the host cannot have a placeholder"
    if first.userinfo or first.fragment:
        yield field, "cannot have a password or a fragment"
