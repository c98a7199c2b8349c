"""The OpenAPI document: names, order, examples and schemas; it needs no server."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from api.app import describe
from api.errors import PROBLEM_TYPE
from api.openapi.__main__ import COMMANDS_PAGE, SNAPSHOT, render_snapshot
from api.openapi.commands import COMMAND_ROUTES, allowed_text, commands_page
from api.openapi.document import TAGS
from domain.subscriptions.lifecycle import COMMANDS, SubscriptionStatus, decide

ROOT = Path(__file__).parents[2]
PRODUCT = ("domain", "agents", "adapters", "database", "services", "activities", "workflows", "api")
VERBS = {
    *(
        "add",
        "answer",
        "apply",
        "attach",
        "cancel",
        "change",
        "confirm",
        "create",
        "deactivate",
        "decide",
        "delegate",
    ),
    *(
        "delete",
        "detach",
        "end",
        "explain",
        "fork",
        "extend",
        "get",
        "ingest",
        "list",
        "pause",
        "preview",
        "put",
        "raise",
    ),
    *("reactivate", "receive", "redeliver", "refund", "remove", "resume", "retry", "revoke"),
    *("rotate", "send", "set", "start", "stream", "terminate", "uncancel", "upload"),
}
RENEW = "the document has changed: run `make openapi`, and commit what it wrote"


@cache
def document() -> dict[str, Any]:
    return describe()


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def problem_examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, operation in operations():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get(PROBLEM_TYPE, {})
            for example in content.get("examples", {}).values():
                yield name, status, example["value"]


@cache
def validator(reference: str) -> Draft202012Validator:
    schemas = {"components": document()["components"], "$ref": reference}
    return Draft202012Validator(schemas, validate_formats=True)


def test_operation_ids_are_short_readable_and_unique() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) > 60
    assert len(ids) == len(set(ids))
    for each in ids:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", each), each
        assert each.partition("_")[0] in VERBS, each
        assert len(each) <= 40, each


def test_tags_are_described_in_the_order_of_use() -> None:
    names = [tag["name"] for tag in document()["tags"]]
    assert document()["tags"] == TAGS
    used = {tag for _, operation in operations() for tag in operation["tags"]}
    assert used == set(names)
    for name, operation in operations():
        assert len(operation["tags"]) == 1, name
    for tag in TAGS:
        assert "\n" not in tag["description"]
        assert len(tag["description"]) < 80
    tour = ["auth", "plans", "payment-methods", "subscriptions", "agent-runs", "streams", "admin"]
    assert [name for name in names if name in tour] == tour


def test_every_operation_has_a_summary_and_a_description() -> None:
    for name, operation in operations():
        assert operation["summary"], name
        assert operation["description"], name


def test_every_error_has_an_example_that_fits_it() -> None:
    shared = {"$ref": "#/components/schemas/Problem"}
    for name, operation in operations():
        for status, response in operation["responses"].items():
            if status >= "4" and name != "GET /health/ready":
                content = response["content"][PROBLEM_TYPE]
                assert content["schema"] == shared, (name, status)
                assert content["examples"], (name, status)
    for name, status, value in problem_examples():
        where = f"{name} {status} {value['code']}"
        validator("#/components/schemas/Problem").validate(value)
        assert value["status"] == int(status), where
        assert value["title"] == HTTPStatus(int(status)).phrase, where
        assert value["type"] == f"/errors/{value['code']}", where


def raised_codes() -> set[str]:
    """All codes that errors of the product are made with: of their classes, or given by hand."""
    codes = set()
    for path in (path for package in PRODUCT for path in (ROOT / package).rglob("*.py")):
        if path.is_relative_to(ROOT / "api" / "openapi"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                    codes.add(code)
                case ast.Call(args=[_, ast.Constant(value=str(code)), *_]):
                    codes.add(code)
                case ast.Tuple(elts=[ast.Constant(), ast.Constant(value=str(code))]):
                    codes.add(code)
                case ast.Assign(
                    targets=[ast.Name(id=str(name))], value=ast.Constant(value=str(code))
                ):
                    codes |= {code} if name.isupper() else set()
    return codes


def test_every_example_has_a_code_that_the_product_raises() -> None:
    shown = {value["code"] for _, _, value in problem_examples()}
    assert len(shown) > 30
    assert shown <= raised_codes()


def test_errors_of_one_status_differ_by_route() -> None:
    """What may go wrong when a run is started is not what may go wrong when it is canceled."""
    codes: dict[str, set[str]] = {}
    for name, status, value in problem_examples():
        if status == "409":
            codes.setdefault(name, set()).add(value["code"])
    prefix = "POST /api/v1"
    assert codes[f"{prefix}/agent-runs"] == {"conversation_busy", "idempotency_key_reused"}
    assert codes[f"{prefix}/plans"] == {"plan_code_taken", "idempotency_key_reused"}
    cancel = f"{prefix}/subscriptions/{{subscription_id}}/cancel"
    assert codes[cancel] == {"illegal_command", "managed_at_stripe", "idempotency_key_reused"}


def examples() -> Iterator[tuple[str, str, Any]]:
    """All examples of schemas and of successful answers, with the schemas that they follow."""
    for name, schema in document()["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            yield name, f"#/components/schemas/{name}", example
    for name, operation in operations():
        for response in operation["responses"].values():
            content = response.get("content", {}).get("application/json", {})
            if "example" in content:
                yield name, content["schema"]["$ref"], content["example"]


def test_examples_follow_their_schemas() -> None:
    faults = [
        f"{name}: {'/'.join(map(str, error.instance_path))}: {error.message}"
        for name, reference, example in examples()
        for error in validator(reference).iter_errors(example)
    ]
    assert not faults, "\n".join(faults)


def test_every_answer_and_body_has_an_example_or_only_parts_with_one() -> None:
    schemas = document()["components"]["schemas"]
    for name, operation in operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        references = re.findall(r'schemas/(\w+)"', json.dumps(content["schema"]))
        for each in references:
            assert schemas[each]["examples"], f"{name}: {each}"


def test_fields_with_defaults_are_optional() -> None:
    count = 0
    for name, schema in document()["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if "default" in described:
                count += 1
                assert field not in schema.get("required", ()), f"{name}.{field}"
    assert count > 30
    for name, operation in operations():
        for parameter in operation.get("parameters", ()):
            if "default" in parameter["schema"]:
                assert not parameter.get("required"), f"{name}: {parameter['name']}"


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        ("NewAgentRun", {"agent", "input"}),
        ("NewSubscription", {"plan_id"}),
        ("NewPlan", {"code", "name", "amount_cents", "currency_code", "interval"}),
        ("NewUser", {"email"}),
        ("NewRefund", {"reason"}),
        ("PlanListOut", {"items"}),
        ("CreateTokenIn", set()),
        ("TokenOut", {"access_token", "expires_in", "refresh_token"}),
    ],
)
def test_required_fields(schema: str, required: set[str]) -> None:
    found = document()["components"]["schemas"][schema]
    assert set(found.get("required", [])) == required


def test_names_of_schemas_follow_one_scheme() -> None:
    """What is sent to us is `New…` or `…In`, what we send is `…Out`, an error is `Problem`."""
    for name, schema in document()["components"]["schemas"].items():
        assert schema.get("title", name) == name
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name), name
        is_named = name.endswith(("Out", "In")) or name.startswith("New") or name == "Problem"
        assert is_named or "enum" in schema, name
        assert not (name.endswith("Out") and schema.get("additionalProperties") is False), name


def test_every_body_refuses_unknown_fields() -> None:
    schemas = document()["components"]["schemas"]
    bodies = [name for name in schemas if name.startswith("New") or name.endswith("In")]
    assert len(bodies) > 15
    for name in bodies:
        # Reason: a form of OAuth2 may hold fields of other kinds of grants.
        if name != "CreateTokenIn":
            assert schemas[name]["additionalProperties"] is False, name


def test_streams_are_linked_from_their_routes() -> None:
    for name in ("create_ticket", "stream_agent_run_events"):
        text = next(each for _, each in operations() if each["operationId"] == name)["description"]
        for schema in ("RunEventOut", "SubscriptionStreamEventOut"):
            assert f"#/components/schemas/{schema}" in text
            assert schema in document()["components"]["schemas"]


def test_command_routes_say_when_they_are_allowed() -> None:
    by_id = {operation["operationId"]: operation for _, operation in operations()}
    assert COMMAND_ROUTES.keys() <= COMMANDS.keys()
    for kind, (name, action, _) in COMMAND_ROUTES.items():
        assert allowed_text(kind) in by_id[name]["description"]
        assert f"/{action}" in next(where for where, each in operations() if each is by_id[name])
        examples = [
            value
            for where, _, value in problem_examples()
            if where.endswith(f"/subscriptions/{{subscription_id}}/{action}")
            and value["code"] == "illegal_command"
        ]
        refused = {status for status in SubscriptionStatus if decide(status, kind).refusal}
        assert bool(examples) == bool(refused)
        for example in examples:
            assert example["details"]["subscription_status"] in refused


def test_the_snapshot_is_the_document() -> None:
    assert SNAPSHOT.read_text() == render_snapshot(document()), RENEW


def test_the_document_is_the_same_each_time_that_it_is_built() -> None:
    # Reason: the text is compared, since two documents could share a part that changes.
    assert render_snapshot(describe()) == render_snapshot(describe())


def test_the_page_of_commands_is_the_product_s() -> None:
    page = COMMANDS_PAGE.read_text()
    now = "| `cancel {mode: now}` | then `canceled` | no |" + " then `canceled` |" * 5 + " no |"
    assert now in page
    assert page == commands_page(), RENEW
