"""The requests of tools from files: where each argument goes, and what it cannot become."""

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.agents.tools.http_requests import (
    HttpRequest,
    Place,
    RequestTemplate,
    build_request,
    placeholders,
    render,
    secrets_in,
)
from domain.errors import InvalidInputError

FACTS = {"call_id": "c-1", "user_id": "u-1"}
URL = "https://crm.example/v1/contacts/{contact}/notes"


def build(
    url: str = URL,
    arguments: dict[str, Any] | None = None,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    **places: Place,
) -> HttpRequest:
    template = RequestTemplate(method, url, headers or {}, places)
    return build_request(template, arguments or {}, FACTS, secrets or {})


def test_each_argument_goes_to_its_place() -> None:
    request = build(
        "https://crm.example/contacts/{contact}?via=perdure",
        {"contact": "a b", "limit": 5, "tag": ["x", "y"], "trace": "t", "text": "é", "left": None},
        contact=Place.PATH,
        limit=Place.QUERY,
        tag=Place.QUERY,
        trace=Place.HEADER,
        text=Place.BODY,
        left=Place.BODY,
    )
    assert request.url == "https://crm.example/contacts/a%20b?via=perdure&limit=5&tag=x&tag=y"
    assert request.headers == {"trace": "t", "Content-Type": "application/json"}
    assert json.loads(request.content or b"") == {"text": "é"}


def test_without_arguments_for_it_there_is_no_query_and_no_body() -> None:
    request = build("https://crm.example/ping", method="GET", limit=Place.QUERY)
    assert (request.url, request.content) == ("https://crm.example/ping", None)
    assert "Content-Type" not in request.headers


def test_a_declared_body_is_sent_even_if_it_is_empty() -> None:
    assert build("https://crm.example/x", text=Place.BODY).content == b"{}"


def test_an_argument_can_be_the_whole_body() -> None:
    request = build("https://crm.example/x", {"lines": [1, 2]}, lines=Place.WHOLE_BODY)
    assert request.content == b"[1, 2]"


def test_an_argument_without_a_place_is_not_sent() -> None:
    request = build("https://crm.example/x", {"odd": 1}, text=Place.BODY)
    assert request.content == b"{}"


def test_values_are_written_as_json_writes_them() -> None:
    url = "https://crm.example/x"
    given = {"yes": True, "number": 1.5, "object": {"a": 1}}
    template = RequestTemplate("GET", url, places=dict.fromkeys(given, Place.QUERY))
    query = urlsplit(build_request(template, given, FACTS, {}).url).query
    assert parse_qsl(query) == [("yes", "true"), ("number", "1.5"), ("object", '{"a": 1}')]


def test_facts_and_secrets_are_filled_in() -> None:
    request = build(
        "${env:CRM}/users/{user_id}",
        headers={"Authorization": "Bearer ${env:TOKEN}", "X-User": "{user_id}"},
        secrets={"env:CRM": "https://crm.example", "env:TOKEN": "s{ecr}et"},
    )
    assert request.url == "https://crm.example/users/u-1"
    assert request.headers["Authorization"] == "Bearer s{ecr}et"
    assert request.headers["X-User"] == "u-1"


def test_an_argument_does_not_replace_a_fact() -> None:
    url = "https://crm.example/users/{user_id}"
    assert build(url, {"user_id": "me"}, user_id=Place.PATH).url.endswith("/u-1")


@pytest.mark.parametrize("value", ["", ".", "..", "../admin", "a/../b", "..\\admin", "a\\.", "./a"])
def test_no_argument_leads_to_another_path(value: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        build(arguments={"contact": value}, contact=Place.PATH)
    assert refused.value.error_code == "invalid_arguments"


@given(st.text())
def test_a_path_stays_what_it_is(value: str) -> None:
    try:
        value.encode()
        url = build(arguments={"contact": value}, contact=Place.PATH).url
    except (InvalidInputError, UnicodeEncodeError):
        assume(False)
    parts = urlsplit(url)
    assert (parts.netloc, parts.query, parts.fragment) == ("crm.example", "", "")
    _, version, contacts, contact, notes = parts.path.split("/")
    assert (version, contacts, unquote(contact), notes) == ("v1", "contacts", value, "notes")


def test_what_stands_in_the_query_of_an_address_may_be_empty() -> None:
    url = "https://crm.example/find?name={name}"
    assert build(url, {"name": ""}, name=Place.PATH).url == "https://crm.example/find?name="
    assert build(url, {"name": "../a&b"}, name=Place.PATH).url.endswith("name=..%2Fa%26b")


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "é", "\x00", "a\x7f"])
def test_no_argument_makes_another_header(value: str) -> None:
    with pytest.raises(InvalidInputError):
        build("https://crm.example/x", {"trace": value}, trace=Place.HEADER)


def test_what_a_template_names() -> None:
    template = "${env:CRM}/a/{one}/{two-b}?t=${file:/run/x}"
    assert placeholders(template) == {"one", "two-b"}
    assert secrets_in(template) == {"env:CRM", "file:/run/x"}
    assert render("{a}", {"a": "x y"}, {}) == "x y"
