"""What anybody may send: bad input is a 422 wherever it stands, and no card number is kept."""

import base64
import json
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import text
from temporalio.client import Client

from api.app import build_app
from api.http.routing import ApiRoute
from config import Settings
from database.session import Sessions
from tests.api.conftest import API, Person, client, problem
from tests.api.support import served, socket_to

CARD = "4242 4242 4242 4242"
MASKED = "**** **** **** 4242"
SOME_ID = "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55"
# Routes that take what Stripe or a load balancer sends, and refuse nothing of it.
UNCHECKED = {"/api/v1/webhooks/stripe", "/health/live", "/health/ready", "/metrics"}


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody in particular, over a network."""
    async with served(app) as client:
        yield client


def test_every_route_checks_its_input(app: FastAPI) -> None:
    paths = {
        context.path: context.original_route
        for context in iter_route_contexts(app.router.routes)
        if isinstance(context.original_route, APIRoute) and context.include_in_schema
    }
    assert len(paths) > 40
    unchecked = {path for path, route in paths.items() if not isinstance(route, ApiRoute)}
    assert unchecked == UNCHECKED & paths.keys()


def parameters(app: FastAPI, place: str) -> list[tuple[str, str, str]]:
    return [
        (method, path, parameter["name"])
        for path, calls in app.openapi()["paths"].items()
        for method, call in calls.items()
        for parameter in call.get("parameters", [])
        if parameter["in"] == place and path.startswith(API)
    ]


def filled(path: str) -> str:
    while "{" in path:
        start, _, rest = path.partition("{")
        path = start + SOME_ID + rest.partition("}")[2]
    return path


async def test_nul_is_422_in_every_path_and_query(app: FastAPI, admin: Person) -> None:
    for method, path, name in parameters(app, "path"):
        bad = filled(path.replace(f"{{{name}}}", "a%00b"))
        reply = await admin.http.request(method, bad, json={})
        problem(reply, 422, "invalid_input")
    for method, path, name in parameters(app, "query"):
        reply = await admin.http.request(method, f"{filled(path)}?{name}=%00")
        problem(reply, 422, "invalid_input")


async def test_every_path_refuses_methods_that_it_has_not(app: FastAPI, admin: Person) -> None:
    answered = {}
    for path, calls in app.openapi()["paths"].items():
        for method in {"get", "post", "put", "patch", "delete"} - calls.keys():
            if path.startswith(API):
                reply = await admin.http.request(method, filled(path), json={})
                is_named = method.upper() in reply.headers.get("Allow", "").split(", ")
                answered[method, path] = reply.status_code, is_named
    # Reason: a GET takes the last part for the id of a subscription, which it is not.
    assert answered.pop(("get", f"{API}/subscriptions/preview")) == (422, False)
    assert {call: seen for call, seen in answered.items() if seen != (405, False)} == {}


async def test_unknown_query_parameters_are_422_and_named(app: FastAPI, admin: Person) -> None:
    for path, calls in app.openapi()["paths"].items():
        if not path.startswith(API) or path in UNCHECKED:
            continue
        for method in calls:
            reply = await admin.http.request(method, f"{filled(path)}?limt=5", json={})
            errors = problem(reply, 422, "invalid_input")["details"]["errors"]
            assert [each["field"] for each in errors] == ["query.limt"]
    for hostile in ("echo me", "4242424242424242", "_4242424242424242", "é", "x" * 60):
        query = urllib.parse.quote(hostile)
        reply = await admin.http.get(f"{API}/plans?{query}=1")
        assert problem(reply, 422, "invalid_input")["details"]["errors"][0]["field"] == "query"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"code": "a\\u0000b"}', "body"),
        (b'{"features": {"a\\u0000": true}}', "body"),
        (b'{"name": "\\ud800"}', "body"),
        (b'{"name": "\xff"}', "body"),
        (b"[" * 900_000, "body"),
        (b"[" * 1_500 + b"]" * 1_500, "body"),
        (b'{"amount_cents": ' + b"9" * 5_000 + b"}", "body"),
        (b"[" + b"[]," * 300_000 + b"[]]", "body"),
        (b'{"' + b'a":1,"' * 100_000 + b'b":1}', "body"),
        (b'{"a": "' + b"[," * 100_000, "body"),
        (b'"' + b'\\"' * 400_000, "body"),
        (b'{"amount_cents": NaN}', "body"),
        (b'{"code": "fine", "unknown_field": 1}', "body.unknown_field"),
        (b'{"code": "fine", "4242424242424242": 1}', "body"),
    ],
)
async def test_bodies_that_nothing_can_be_made_of_are_422(
    admin: Person, body: bytes, field: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await admin.http.post(f"{API}/plans", content=body, headers=headers)
    errors = problem(reply, 422, "invalid_input")["details"]["errors"]
    assert field in [each["field"] for each in errors]
    assert len(errors) <= 20
    assert "4242" not in reply.text


async def test_brackets_and_escapes_in_a_text_are_fine(admin: Person) -> None:
    content = "[{,]}" * 20_000 + '\\"' * 10 + "\\u0000 spelled out"
    body: dict[str, Any] = {
        "title": "x",
        "content": content,
        "metadata": {"a": 1},
        "user_id": str(uuid4()),
    }
    reply = await admin.post("documents", **body)
    problem(reply, 404, "not_found")


@pytest.mark.parametrize("form", ["username=a%00b&password=x", "username=a&password=b%00"])
async def test_nul_in_a_form_is_422(stranger: httpx.AsyncClient, form: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await stranger.post(f"{API}/auth/token", content=form, headers=headers)
    problem(reply, 422, "invalid_input")


async def test_a_broken_form_is_422(stranger: httpx.AsyncClient) -> None:
    for kind, body in [
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--y\r\nnonsense"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: x"\r\n\r\n\x00\r\n--x--'),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(2_000))),
    ]:
        headers = {"Content-Type": kind}
        reply = await stranger.post(f"{API}/auth/token", content=body, headers=headers)
        problem(reply, 422, "invalid_input")


async def test_other_media_types_are_415(user: Person) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        headers = {"Content-Type": kind}
        reply = await user.http.post(f"{API}/conversations", content=b"{}", headers=headers)
        problem(reply, 415, "unsupported_media_type")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    reply = await user.http.post(f"{API}/conversations", content=b"{}", headers=packed)
    problem(reply, 415, "unsupported_media_type")
    headers = {"Content-Type": "application/vnd.api+json; charset=utf-8"}
    reply = await user.http.post(f"{API}/conversations", content=b"{}", headers=headers)
    assert reply.status_code == 201


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (
            "agent-runs",
            {"agent": "research", "input": "x", "budget": {"tokens": 1}},
            "budget.tokens",
        ),
        (
            "agent-runs",
            {"agent": "research", "input": "x", "budget": {"token_count": "x"}},
            "budget.token_count",
        ),
        ("agent-runs", {"agent": "research", "input": "x", "bugdet": {}}, "bugdet"),
        ("agent-runs", {"agent": 1, "input": "x"}, "agent"),
        ("payments", {"amount": 500}, "amount"),
        ("plans", {"limits": {"token_count": "many"}}, "limits.token_count"),
        ("plans", {"limits": {"token_count": {"count": 5, "per": "week"}}}, "limits.token_count"),
    ],
)
async def test_a_wrong_field_is_named_with_its_path_and_the_reason(
    admin: Person, path: str, body: dict[str, Any], field: str
) -> None:
    reply = await admin.post(path, **body)
    errors = problem(reply, 422, "invalid_input")["details"]["errors"]
    found = {each["field"]: each["message"] for each in errors}
    assert f"body.{field}" in found
    assert all(found.values())


async def test_json_at_a_form_s_route_is_415(stranger: httpx.AsyncClient) -> None:
    path = f"{API}/auth/token"
    document = {"username": "ada@example.com", "password": "x"}
    told = problem(await stranger.post(path, json=document), 415, "unsupported_media_type")
    assert told["detail"] == "the body must be application/x-www-form-urlencoded"
    reply = await stranger.post(path, content=b"a=1", headers={"Content-Type": "text/plain"})
    problem(reply, 415, "unsupported_media_type")
    problem(await stranger.post(path, data=document), 401, "invalid_credentials")
    problem(await stranger.post(path, files={"username": (None, "x")}), 422, "invalid_input")
    problem(await stranger.post(path), 422, "invalid_input")


async def test_what_needs_no_body_overlooks_none(app: FastAPI, admin: Person) -> None:
    paths = [
        path
        for path, calls in app.openapi()["paths"].items()
        if "requestBody" not in calls.get("post", {"requestBody": {}}) and path not in UNCHECKED
    ]
    assert len(paths) >= 5
    for path in paths:
        for body, fields in [
            ({"reason": "x"}, ["body.reason"]),
            ({"4242424242424242": 1, "b": 2}, ["body", "body.b"]),
            ([], ["body"]),
            ("x", ["body"]),
        ]:
            reply = await admin.http.post(filled(path), json=body)
            errors = problem(reply, 422, "invalid_input")["details"]["errors"]
            assert [each["field"] for each in errors] == fields
    for empty in (b"", b"{}", b"null", b" {} "):
        assert (await admin.http.post(f"{API}/auth/ticket", content=empty)).status_code == 200


async def test_keys_that_no_header_can_be_are_422(user: Person) -> None:
    for key in ("a\x00b", "a\x7fb", "x" * 256, "", "4242424242424242"):
        headers = {"Idempotency-Key": key}
        reply = await user.http.post(f"{API}/conversations", json={}, headers=headers)
        problem(reply, 422, "invalid_input")


CURSORS = [
    "%00",
    "AAAA",
    "not base64!",
    "5",
    "9" * 30,
    cursor(),
    cursor(5, 5),
    cursor("2026-01-01T00:00:00+00:00", 5),
    cursor("2026-01-01T00:00:00+00:00", "x"),
    cursor("2026-01-01T00:00:00+00:00", None),
    cursor("2026-01-01T00:00:00", SOME_ID),
    cursor("2026-01-01T00:00:00+00:00", SOME_ID, 1),
    cursor("0001-01-01T00:00:00+14:00", SOME_ID),
    cursor("9999-12-31T23:59:59-14:00", SOME_ID),
    cursor({"a": 1}, []),
    base64.urlsafe_b64encode(b"[" * 1_000).decode(),
    base64.urlsafe_b64encode(b'{"a": 1, "b": 2}').decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]
NUMBERED = ("messages", "events")


async def test_cursors_of_nobody_are_422_in_every_list(
    app: FastAPI, admin: Person, chroma_url: str
) -> None:
    lists = [path for method, path, name in parameters(app, "query") if name == "cursor"]
    assert len(lists) > 12
    for path in lists:
        for bad in CURSORS:
            if bad == "5" and path.endswith(NUMBERED):
                continue
            reply = await admin.http.get(filled(path), params={"cursor": bad})
            if reply.status_code != 404 or "{" not in path:
                assert reply.status_code == 422, (path, bad, reply.text)


# What tells where a number, or a text, ends.
ENDS = {"maximum", "exclusiveMaximum", "maxLength", "pattern", "format", "enum", "const"}
# A document's length is a setting, the signature is Stripe's, and a login stores nothing.
ENDLESS = {"content", "stripe-signature", "username", "password", "scope", "client_id"}
ENDLESS |= {"client_secret", "file"}


def scalars(
    app: FastAPI, schema: dict[str, Any], name: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all numbers and texts that an input consists of, each with the name of its field."""
    if "$ref" in schema:
        kind = schema["$ref"].rsplit("/", 1)[-1]
        yield from scalars(app, app.openapi()["components"]["schemas"][kind], name)
    parts = [(name, part) for kind in ("anyOf", "allOf", "oneOf") for part in schema.get(kind, [])]
    parts += schema.get("properties", {}).items()
    parts += [("", part) for part in schema.get("patternProperties", {}).values()]
    parts += [
        ("", schema[kind])
        for kind in ("additionalProperties", "items")
        if isinstance(schema.get(kind), dict)
    ]
    for inner, part in parts:
        yield from scalars(app, part, inner)
    if schema.get("type") in {"integer", "string"}:
        yield name, schema


async def test_numbers_and_texts_have_an_end(app: FastAPI) -> None:
    seen = []
    for path, calls in app.openapi()["paths"].items():
        for method, call in calls.items():
            inputs = [(each["name"], each["schema"]) for each in call.get("parameters", [])]
            bodies = call.get("requestBody", {}).get("content", {}).values()
            inputs += [("", body["schema"]) for body in bodies]
            found = [each for name, schema in inputs for each in scalars(app, schema, name)]
            seen += found
            for name, schema in found:
                assert ENDS & schema.keys() or name in ENDLESS, (method, path, name, schema)
    assert len(seen) > 100


@pytest.mark.parametrize(
    "email",
    ["a\x00b@example.com", "<a@example.com>", "a@example.com,b@example.com", "a@b@example.com",
     "a b@example.com", "a\nb@example.com", "a@example.com>", "a@", "@b", "a@-b.c", "a@b..c",
     "a\x01@example.com", "a@exam\u200bple.com", "4242424242424242@example.com"],
)  # fmt: skip
async def test_only_one_plain_address_is_an_email(stranger: httpx.AsyncClient, email: str) -> None:
    body = {"email": email, "password": "correct horse battery"}
    reply = await stranger.post(f"{API}/users", json=body)
    problem(reply, 422, "invalid_input")
    assert email not in reply.text


@pytest.mark.parametrize(
    "far", ["367d", "999999999d", "99999999999999d", "99999999999s", "P999999999D", "P400D", "1d1",
            "PT99999999H", "1e9d", 10**18, "\u0661d"]
)  # fmt: skip
async def test_no_duration_is_beyond_a_year(admin: Person, far: Any) -> None:
    for body in ({"grace": far}, {"schedules": {"default": [far]}}):
        reply = await admin.http.put(f"{API}/retry-policies/far", json=body)
        problem(reply, 422, "invalid_input")


async def test_policies_take_no_unknown_fields_and_names(admin: Person) -> None:
    path = f"{API}/retry-policies/strict"
    reply = await admin.http.put(path, json={"graec": "1d"})
    errors = problem(reply, 422, "invalid_input")["details"]["errors"]
    assert errors[0]["field"] == "body.graec"
    body = {"schedules": {"default": ["1d"], "Not a name": ["1d"]}}
    problem(await admin.http.put(path, json=body), 422, "invalid_input")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("payment-methods", {"stripe_payment_method_id": "4242424242424242"}),
        ("payment-methods", {"stripe_payment_method_id": "pm_4242424242424242"}),
        ("payment-methods", {"stripe_payment_method_id": "cus_123"}),
        ("payment-methods", {"stripe_payment_method_id": "pm_a/../b"}),
        ("payment-methods", {"stripe_payment_method_id": "pm_x", "is_default": 1}),
        ("api-keys", {"name": f"key {CARD}"}),
        ("agent-runs", {"agent": CARD, "input": "hello"}),
        ("agent-runs", {"agent": "research", "input": "x", "budget": {"token_count": 2**60}}),
        ("users", {"email": "a@example.com", "external_id": CARD}),
        ("users", {"email": "a@example.com", "external_id": "x", "name": CARD}),
        ("documents", {"title": "x", "content": "y", "metadata": {CARD: 1}}),
        ("documents", {"title": "x", "url": "https://example.com/4242424242424242"}),
        (
            "payments",
            {"amount_cents": 10**12, "currency_code": "usd", "payment_method_id": SOME_ID},
        ),
        (f"payments/{SOME_ID}/refund", {"reason": "x", "amount_cents": 10**30}),
    ],
)
async def test_ids_names_and_numbers_keep_to_their_form(
    admin: Person, path: str, body: dict[str, Any]
) -> None:
    reply = await admin.post(path, **body)
    # A refund looks for its payment first.
    assert reply.status_code in ({422, 404} if "refund" in path else {422}), reply.text
    assert "4242" not in reply.text
    problem(reply, reply.status_code, reply.json()["code"])


async def test_plans_have_no_card_numbers_in_their_names(admin: Person) -> None:
    plan: dict[str, Any] = {
        "code": "p",
        "name": "P",
        "amount_cents": 1,
        "currency_code": "usd",
        "interval": "month",
    }
    for change in (
        {"code": "4242424242424242"},
        {"name": CARD},
        {"features": {CARD: True}},
        {"limits": {"token_count": 2**70}},
        {"limits": {"token_count": True}},
        {"amount_cents": True},
        {"amount_cents": "5"},
        {"trial_days": False},
        {"interval_count": "1"},
    ):
        problem(await admin.post("plans", **(plan | change)), 422, "invalid_input")
    for loose in (0, 1, "false"):
        reply = await admin.http.patch(f"{API}/plans/{uuid4()}", json={"is_active": loose})
        problem(reply, 422, "invalid_input")


async def stored(sessions: Sessions, what: str) -> int:
    """Count the rows of the whole database that hold a text."""
    async with sessions() as session:
        names = await session.scalars(
            text("select tablename from pg_tables where schemaname = 'public'")
        )
        count = 0
        for name in names.all():
            found = await session.scalar(
                text(f'select count(*) from "{name}" t where t::text like :what'),  # noqa: S608
                {"what": f"%{what}%"},
            )
            count += found or 0
    return count


async def test_card_numbers_in_free_text_are_kept_nowhere(
    user: Person, sessions: Sessions, workers: Client, chroma_url: str
) -> None:
    content = f"Charge {CARD} please, or 4000056655665556."
    made = await user.post("documents", key=uuid4().hex, title=f"Card {CARD}", content=content,
                           metadata={"note": CARD, "number": 4242424242424242})  # fmt: skip
    assert made.status_code == 202, made.text
    assert made.json()["title"] == f"Card {MASKED}"
    assert made.json()["metadata"] == {"note": MASKED, "number": "************4242"}
    said = await user.post("conversations", title=f"About {CARD}")
    assert said.json()["title"] == f"About {MASKED}"
    for number in (CARD, "4242424242424242", "4000056655665556"):
        assert await stored(sessions, number) == 0
    assert await stored(sessions, f"Charge {MASKED} please, or ************5556.") >= 1


async def test_a_setting_lets_card_numbers_pass(
    settings: Settings, dev_server: Client, sessions: Sessions, user: Person
) -> None:
    app = build_app(
        settings.model_copy(update={"is_card_number_guard_on": False}), dev_server, sessions
    )
    async with app.router.lifespan_context(app), client(app, **dict(user.http.headers)) as http:
        reply = await http.post(f"{API}/conversations", json={"title": CARD})
        assert reply.json()["title"] == CARD
        reply = await http.post(f"{API}/api-keys", json={"name": CARD})
        assert reply.json()["name"] == CARD


async def test_a_huge_body_costs_nobody_anything(http: httpx.AsyncClient, user: Person) -> None:
    """Without credentials it is refused unread, with credentials at its size."""
    path, size = f"{API}/agent-runs", 3_000_000

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(size // 10_000):
            yield b"[]," * 3_333

    head = {"Content-Type": "application/json"}
    known = head | {"Authorization": user.http.headers["Authorization"]}
    problem(await http.post(path, content=b"[" * size, headers=head), 413, "payload_too_large")
    problem(await http.post(path, content=b"[" * size, headers=known), 413, "payload_too_large")
    problem(await http.post(path, content=endless(), headers=head), 401, "unauthorized")
    problem(await http.post(path, content=endless(), headers=known), 413, "payload_too_large")


async def test_credentials_come_before_bodies(http: httpx.AsyncClient, user: Person) -> None:
    """Whoever may not is told so, whatever they send."""
    known = {"Authorization": user.http.headers["Authorization"]}
    problem(await http.post(f"{API}/plans", content=b"nonsense"), 401, "unauthorized")
    reply = await http.post(f"{API}/plans", content=b"nonsense", headers=known)
    problem(reply, 403, "admin_required")


async def test_a_stream_from_a_number_of_nobody_is_refused(
    http: httpx.AsyncClient, user: Person
) -> None:
    for kind in ("subscriptions", "agent-runs"):
        for after in ("99999999999999999999", "-1", "x", "%00"):
            with pytest.raises(Exception, match="HTTP 403"):
                async with socket_to(http, f"{kind}/{SOME_ID}", after=after):
                    pass


async def test_administrators_filter_lists_by_user(
    admin: Person, user: Person, other: Person, app: FastAPI
) -> None:
    await user.post("conversations", title="mine")
    await other.post("conversations", title="theirs")
    for person in (user, other):
        found = await admin.get("conversations", user_id=str(person.user_id))
        assert {each["user_id"] for each in found["items"]} == {str(person.user_id)}
    lists = [path for method, path, name in parameters(app, "query") if name == "user_id"]
    assert len(lists) == 13
    for path in lists:
        foreign = {"user_id": str(other.user_id)}
        problem(await user.http.get(path, params=foreign), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (f"{API}/plans", "GET, HEAD, POST"),
        (f"{API}/plans/{SOME_ID}", "GET, HEAD, PATCH"),
        (f"{API}/documents/{SOME_ID}", "DELETE, GET, HEAD"),
        (f"{API}/retry-policies/x", "GET, HEAD, PUT"),
        (f"{API}/auth/token", "POST"),
        ("/health", "GET, HEAD"),
    ],
)
async def test_405_names_all_methods_of_a_path(
    stranger: httpx.AsyncClient, path: str, allow: str
) -> None:
    reply = await stranger.request("TRACE", path)
    problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == allow


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    for path, status in [("/health", 200), (f"{API}/plans", 401), (f"{API}/nothing", 404)]:
        head, get = await http.head(path), await http.get(path)
        assert (head.status_code, head.content) == (status, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == get.headers[name]


async def test_a_slash_at_the_end_leads_nowhere(http: httpx.AsyncClient) -> None:
    for method in ("GET", "POST"):
        reply = await http.request(method, f"{API}/payments/", headers={"Host": "evil.example"})
        problem(reply, 404, "not_found")
        assert "location" not in reply.headers
