"""The files of HTTP tools: what they make, and what is said about those that are wrong."""

import json
from asyncio import to_thread
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import ValidationError

from agents.tools.settings import ToolSettings
from bootstrap.tools import HTTP_TOOLS, make_tool_catalog, read_http_tools
from config import AuthSettings, EgressSettings, Settings
from domain.errors import InvalidInputError
from services.agents.tools.catalog import Tool
from tests.conftest import PROJECT
from tests.support.team_api import team_api

ENVIRON = {"CRM_TOKEN": "very-secret-token", "SHOP_TOKEN": "another-secret", "EMPTY": ""}
NOTE: dict[str, Any] = {
    "description": "Add a note.",
    "method": "POST",
    "url": "https://crm.example/contacts/{contact}/notes",
    "headers": {"Authorization": "Bearer ${env:CRM_TOKEN}"},
    "arguments": {
        "type": "object",
        "required": ["contact"],
        "properties": {"contact": {"type": "string"}, "text": {"type": "string"}},
    },
}
PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://pets.example/api"}],
    "paths": {
        "/pets/{pet-id}/owners": {
            "parameters": [{"$ref": "#/components/parameters/PetId"}],
            "put": {
                "operationId": "set_owner",
                "parameters": [
                    {"name": "dry_run", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "requestBody": {"$ref": "#/components/requestBodies/Owner"},
            },
            "post": {
                "operationId": "set_owners",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Owner"},
                            }
                        }
                    },
                },
            },
        },
    },
    "components": {
        "parameters": {
            "PetId": {
                "name": "pet-id",
                "in": "path",
                "required": True,
                "description": "Which pet.",
                "schema": {"type": "integer"},
            }
        },
        "requestBodies": {
            "Owner": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Owner"}}},
            }
        },
        "schemas": {
            "Owner": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "name": {"type": "string", "example": "Ann"},
                    "age": {
                        "type": "integer",
                        "minimum": 0,
                        "exclusiveMinimum": True,
                        "nullable": True,
                    },
                    "parents": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Owner"},
                    },
                },
            }
        },
    },
}


def write(folder: Path, document: dict[str, Any], name: str = "add_note") -> None:
    """Write a file of a tool; JSON's values are TOML's, within `[` and `{`."""
    lines = [f"{key} = {inline(value)}" for key, value in document.items() if value is not None]
    (folder / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")


def inline(value: Any) -> str:
    if isinstance(value, dict):
        parts = (f"{json.dumps(key)} = {inline(each)}" for key, each in value.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value)


def read(folder: Path, document: dict[str, Any], name: str = "add_note") -> Tool:
    write(folder, document, name)
    (found,) = read_http_tools(str(folder), (), ENVIRON)
    assert isinstance(found, Tool), found
    return found


def test_a_file_makes_a_tool(tmp_path: Path) -> None:
    tool = read(tmp_path, NOTE)
    assert (tool.spec.name, tool.spec.approver_role) == ("add_note", "admin")
    assert tool.preview is not None
    assert tool.spec.definition.parameters == {
        **NOTE["arguments"],
        "additionalProperties": False,
    }
    assert tool.spec.time_limit.total_seconds() < 120


def test_a_file_of_a_get_reads(tmp_path: Path) -> None:
    tool = read(tmp_path, {**NOTE, "method": "GET"})
    assert (tool.spec.approver_role, tool.preview) == (None, None)
    assert tool.spec.patience is not None
    searching = read(tmp_path, {**NOTE, "effect": "read"})
    assert searching.spec.approver_role is None
    writing = read(tmp_path, {**NOTE, "method": "GET", "effect": "write", "approver_role": "user"})
    assert (writing.spec.approver_role, writing.spec.patience) == ("user", None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"description": None}, "description: Field required"),
        ({"url": None}, "url: is missing"),
        ({"method": None}, "method: is missing"),
        ({"method": "BREW"}, "method: Input should be 'GET'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"operation_id": "x"}, "operation_id: is not used without `openapi`"),
        ({"time_limit": "2m"}, "time_limit: must be more than 0s and at most 40s"),
        ({"time_limit": 20}, "time_limit: a duration needs a unit"),
        ({"effect": "erase"}, "effect: Input should be 'read' or 'write'"),
        ({"approver_role": "owner"}, "approver_role: Input should be 'admin' or 'user'"),
        ({"url": "ftp://crm.example/{contact}"}, "url: must begin with http:// or https://"),
        ({"url": "/contacts/{contact}"}, "url: must begin with http:// or https://"),
        ({"url": "https://{contact}.crm.example/"}, "url: the host cannot have a placeholder"),
        ({"url": "https://crm.example{contact}"}, "url: the host cannot have a placeholder"),
        ({"url": "https://me:pw@crm.example/{contact}"}, "url: cannot have a password"),
        ({"url": "https://crm.example/{contact}/{id}"}, "url: {id} is neither a required argument"),
        ({"url": "https://crm.example/{text}"}, "url: {text} is neither a required argument"),
        ({"headers": {"X": "${env:NOWHERE}"}}, "headers.X: the variable NOWHERE is missing"),
        ({"headers": {"X": "${env:EMPTY}"}}, "headers.X: the variable EMPTY is missing or empty"),
        ({"headers": {"X": "${file:/no/such}"}}, "headers.X: the file /no/such is missing"),
        ({"headers": {"X": "${vault:x}"}}, "headers.X: ${vault:x} is neither"),
        ({"headers": {"X": "{text}"}}, "headers.X: {text} is neither"),
        ({"headers": {"Host": "x"}}, "headers.Host: the header Host is not set by a tool"),
        ({"headers": {"a b": "x"}}, "headers.a b: 'a b' is not the name of a header"),
        ({"idempotency_header": "a:b"}, "idempotency_header: 'a:b' is not the name"),
        ({"places": {"colour": "query"}}, "places.colour: there is no such argument"),
        ({"places": {"text": "path"}}, "places.text: an argument is in the path if, and only if"),
        ({"places": {"contact": "query"}}, "places.contact: an argument is in the path if"),
        ({"places": {"text": "cookie"}}, "places.text: Input should be 'path'"),
        ({"lookup": "https://crm.example/{text}"}, "lookup: {text} is neither"),
        ({"business_key": "{text}"}, "business_key: {text} is neither"),
        ({"business_key": "${env:CRM_TOKEN}"}, "business_key: cannot have a secret"),
        ({"effect": "read", "lookup": "https://crm.example/"}, "lookup: is of tools that write"),
        ({"arguments": {"type": "array"}}, 'arguments.type: must be "object"'),
        (
            {"arguments": {"type": "object", "properties": {"a": {"type": "text"}}}},
            "arguments.properties.a.type: 'text' is not ",
        ),
        (
            {"arguments": {"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}},
            "arguments.$ref: http://x/y is in another document",
        ),
        (
            {
                "arguments": {
                    "type": "object",
                    "required": ["contact"],
                    "properties": {"contact": {}, "user_id": {}},
                }
            },
            "arguments: user_id cannot be arguments: they are facts",
        ),
        ({"ok_statuses": [99]}, "ok_statuses.0: Input should be greater than or equal to 200"),
        ({"openapi": "gone.json", "operation_id": "x"}, "method: is not used beside `openapi`"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_field(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    write(tmp_path, {**NOTE, **changes})
    (found,) = read_http_tools(str(tmp_path), (), ENVIRON)
    assert isinstance(found, str)
    assert f"add_note.toml: {problem}" in found
    assert "secret" not in found or "cannot have a secret" in found


def test_a_file_that_is_no_toml_and_a_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "Add Note.toml").write_text("")
    (tmp_path / "broken.toml").write_text("description = ")
    (tmp_path / "notes.txt").write_text("not a tool")
    wrong_name, broken = read_http_tools(str(tmp_path), (), ENVIRON)
    assert str(wrong_name).startswith("Add Note.toml: the name has other characters")
    assert str(broken).startswith("broken.toml: ")


def test_a_secret_file_is_read_and_a_folder_must_be_there(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from-a-file\n")
    read(tmp_path, {**NOTE, "headers": {"Authorization": f"Bearer ${{file:{secret}}}"}})
    secret.write_text("two\nlines")
    (found,) = read_http_tools(str(tmp_path), (), ENVIRON)
    assert "has characters that no header can have" in str(found)
    assert "two" not in str(found)
    assert read_http_tools(str(tmp_path / "gone"), (), ENVIRON) == [
        f"TOOLS__FOLDER: there is no folder {tmp_path / 'gone'}"
    ]


def test_the_catalogue_has_them_and_refuses_wrong_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", "very-secret-token")
    settings = Settings(
        _env_file=None,
        database_url="postgresql://nowhere/x",
        auth=AuthSettings(jwt_secret="x" * 32),
        egress=EgressSettings(),
        tools=ToolSettings(folder=str(tmp_path)),
    )
    write(tmp_path, NOTE)
    assert "add_note" in make_tool_catalog(settings).names
    write(tmp_path, NOTE, "ask_user")
    with pytest.raises(InvalidInputError, match="two tools of the name ask_user"):
        make_tool_catalog(settings)
    (tmp_path / "ask_user.toml").write_text("")
    with pytest.raises(InvalidInputError, match=r"ask_user\.toml: description: Field required"):
        make_tool_catalog(settings)


def test_the_folder_of_the_product_has_no_tool_and_the_examples_are_right() -> None:
    assert HTTP_TOOLS.is_dir()
    assert read_http_tools("", (), {}) == []
    examples = read_http_tools(str(PROJECT / "examples" / "http_tools"), (), ENVIRON)
    tools = {each.spec.name: each.spec for each in examples if isinstance(each, Tool)}
    assert tools["create_order"].approver_role == "admin"
    assert tools["find_orders"].approver_role is None
    assert len(tools) == len(examples) == 2


def test_the_file_in_the_docs_is_right(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "adding.md").read_text()
    block = page.partition("## An HTTP tool")[2].partition("\n2. ")[0].partition(":\n\n")[2]
    (tmp_path / "create_order.toml").write_text(dedent(block))
    (tool,) = read_http_tools(str(tmp_path), (), ENVIRON)
    assert isinstance(tool, Tool), tool
    assert tool.spec.arguments.model_validate({"sku": "A", "count": 2})


# --- arguments


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"contact": "7", "text": "hello"}, None),
        ({"contact": "7"}, None),
        ({"text": "hello"}, "'contact' is a required property"),
        ({"contact": 7}, "contact: 7 is not of type 'string'"),
        ({"contact": "7", "colour": "red"}, "'colour' was unexpected"),
        ([], "[] is not of type 'object'"),
        ({"contact": ["x" * 5_000]}, "is not of type 'string'"),
    ],
)
def test_arguments_are_checked_by_their_schema(
    tmp_path: Path, given: Any, problem: str | None
) -> None:
    arguments = read(tmp_path, NOTE).spec.arguments
    if problem is None:
        assert arguments.model_validate(given).model_dump(mode="json") == given
        return
    with pytest.raises(ValidationError) as refused:
        arguments.model_validate(given)
    (error,) = refused.value.errors()
    assert len(error["msg"]) < 400
    if len(str(given)) < 1_000:
        assert problem in error["msg"]


def test_a_schema_without_an_end_is_an_error_and_no_crash(tmp_path: Path) -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}
    arguments = read(tmp_path, {**NOTE, "url": "https://x.example/", "arguments": endless})
    with pytest.raises(ValidationError, match="cannot be evaluated"):
        arguments.spec.arguments.model_validate({"a": 1})


# --- OpenAPI


def pets(folder: Path, operation: str, document: Any = PETS, **changes: Any) -> Tool | str:
    (folder / "pets.json").write_text(json.dumps(document))
    spec = {"description": "d", "openapi": "pets.json", "operation_id": operation, **changes}
    write(folder, spec, "pets")
    (found,) = read_http_tools(str(folder), (), ENVIRON)
    return found


def test_an_operation_of_a_document_is_a_tool(tmp_path: Path) -> None:
    tool = pets(tmp_path, "set_owner")
    assert isinstance(tool, Tool), tool
    schema = tool.spec.definition.parameters
    assert schema["required"] == ["name", "pet-id"]
    assert schema["properties"]["pet-id"] == {"type": "integer", "description": "Which pet."}
    assert schema["properties"]["dry_run"] == {"type": "boolean"}
    assert schema["properties"].keys() == {"pet-id", "dry_run", "name", "age", "parents"}
    assert schema["properties"]["age"] == {"type": ["integer", "null"], "exclusiveMinimum": 0}
    assert schema["properties"]["parents"]["items"] == {"$ref": "#/$defs/Owner"}
    assert schema["$defs"]["Owner"]["properties"]["parents"]["items"] == {"$ref": "#/$defs/Owner"}
    take = tool.spec.arguments.model_validate
    take({"pet-id": 7, "name": "Ann", "age": None, "parents": [{"name": "Bea"}]})
    for wrong in ({"name": "Ann"}, {"pet-id": 7, "name": "Ann", "parents": [{"age": 1}]}):
        with pytest.raises(ValidationError):
            take(wrong)


def test_a_body_that_is_no_object_is_one_argument(tmp_path: Path) -> None:
    tool = pets(tmp_path, "set_owners")
    assert isinstance(tool, Tool), tool
    assert tool.spec.definition.parameters["required"] == ["body", "pet-id"]
    tool.spec.arguments.model_validate({"pet-id": 1, "body": [{"name": "Ann"}]})


def changed(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(PETS)), **changes}


def with_body(schema: Any, **more: Any) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": schema}}}
    return changed(paths={"/x": {"post": {"operationId": "x", "requestBody": body}}}, **more)


@pytest.mark.parametrize(
    ("document", "operation", "problem"),
    [
        (PETS, "gone", "operation_id: there is no operation gone"),
        (changed(openapi="2.0"), "x", "openapi: pets.json is no OpenAPI document of version 3"),
        ([], "x", "openapi: pets.json is no OpenAPI document of version 3"),
        (changed(servers=[]), "set_owner", "url: is needed, as the document names no server"),
        (
            changed(servers=[{"url": "https://{region}.x.example"}]),
            "set_owner",
            "url: is needed, as the document's server has variables",
        ),
        (changed(paths=[]), "x", "openapi: the document is malformed"),
        (changed(paths={"/x": {"get": 7}}), "x", "openapi: the document is malformed"),
        (with_body({"$ref": "other.json#/X"}), "x", "openapi: other.json#/X is in another"),
        (with_body({"$ref": "#/components/schemas/Gone"}), "x", "there is no #/components"),
        (
            with_body(
                {"$ref": "#/components/schemas/A"},
                components={"schemas": {"A": {"$ref": "#/components/schemas/A"}}},
            ),
            "x",
            "openapi: a reference leads to itself",
        ),
        (
            changed(paths={"/x": {"post": {"operationId": "x", "requestBody": {"content": {}}}}}),
            "x",
            "openapi: the body of the operation is not JSON",
        ),
    ],
)
def test_what_is_wrong_with_a_document(
    tmp_path: Path, document: Any, operation: str, problem: str
) -> None:
    found = pets(tmp_path, operation, document)
    assert isinstance(found, str)
    assert f"pets.toml: {problem}" in found or problem in found


def test_a_document_that_grows_is_refused(tmp_path: Path) -> None:
    node: Any = {"type": "string"}
    for _ in range(400):
        node = {"type": "array", "items": node}
    deep = pets(tmp_path, "x", with_body(node))
    assert isinstance(deep, Tool) or "nested too deeply" in deep
    wide = {"type": "object", "properties": {f"a{n}": {"type": "string"} for n in range(9_999)}}
    assert "openapi: the schemas of the operation are too large" in str(
        pets(tmp_path, "x", with_body({"type": "array", "items": wide}))
    )


def test_a_document_may_be_yaml_and_an_address_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(
        "openapi: 3.0.3\npaths:\n  /pets:\n    get:\n      operationId: list_pets\n"
    )
    spec = {"description": "d", "openapi": "pets.yaml", "operation_id": "list_pets"}
    tool = read(tmp_path, {**spec, "url": "https://pets.example/v2/"}, "list_pets")
    assert tool.spec.approver_role is None


async def test_a_document_may_be_at_an_address(tmp_path: Path) -> None:
    async with team_api(document=changed(servers=[{"url": "/v2"}])) as api:
        spec = {"description": "d", "operation_id": "set_owner"}
        write(tmp_path, {**spec, "openapi": f"{api.url}/openapi.json"}, "pets")
        (refused,) = await to_thread(read_http_tools, str(tmp_path), (), ENVIRON)
        assert "cannot be read: the address is not public" in str(refused)
        (tool,) = await to_thread(read_http_tools, str(tmp_path), ("127.0.0.1",), ENVIRON)
        assert isinstance(tool, Tool), tool
        # Reason: whoever changes the document must not get what the tool sends.
        api.document = changed()
        (moved,) = await to_thread(read_http_tools, str(tmp_path), ("127.0.0.1",), ENVIRON)
        assert "url: is needed, as the document names another host than its own" in str(moved)
