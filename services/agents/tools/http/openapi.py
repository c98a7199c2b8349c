"""Reads an operation of an OpenAPI document: its address, its arguments and their places."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin

import httpx
import orjson
import yaml

from domain.agents.tools.http_requests import Place

_METHODS = ("get", "post", "put", "patch", "delete")
_PLACES = {"path": Place.PATH, "query": Place.QUERY, "header": Place.HEADER}
# Words of OpenAPI that say nothing about what is allowed, or that models need not read.
_UNUSED = frozenset({"deprecated", "discriminator", "example", "examples", "externalDocs", "xml"})
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
# Reason: references within references could make a small document endless.
_MAX_NODES = 20_000
_MAX_HOPS = 20


class Operation(NamedTuple):
    """An operation as a tool calls it.

    Args:
        method: Method in capitals.
        url: Address with placeholders.
        arguments: JSON schema of the arguments.
        places: Place of each argument.
    """

    method: str
    url: str
    arguments: dict[str, Any]
    places: dict[str, Place]


def parse_document(content: bytes, *, is_yaml: bool) -> dict[str, Any]:
    """Parse a document.

    Args:
        content: The document.
        is_yaml: Whether it is YAML; else it is JSON.

    Raises:
        ValueError: It is no OpenAPI document of version 3.
    """
    try:
        document = yaml.safe_load(content) if is_yaml else orjson.loads(content)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is no {'YAML' if is_yaml else 'JSON'}") from error
    version = document.get("openapi") if isinstance(document, dict) else None
    if not str(version).startswith("3."):
        raise ValueError("is no OpenAPI document of version 3")
    return dict(document)


def read_operation(
    document: Mapping[str, Any], operation_id: str, base: str | None, source: str | None
) -> Operation:
    """Read one operation.

    Args:
        document: OpenAPI document.
        operation_id: Id of the operation.
        base: Address that paths are added to; None for that of the document's first server.
        source: Address of the document; None for a file.

    Raises:
        ValueError: There is no such operation, or it cannot be called by a tool.
    """
    try:
        found = [
            each for each in _operations(document) if each[2].get("operationId") == operation_id
        ]
        if not found:
            raise ValueError(f"operation_id: there is no operation {operation_id}")
        path, method, operation, shared = found[0]
        schemas = _Schemas(document)
        arguments = _Arguments(schemas)
        for parameter in (*shared, *operation.get("parameters", [])):
            arguments.add_parameter(schemas.resolve(parameter))
        if "requestBody" in operation:
            arguments.add_body(schemas.resolve(operation["requestBody"]))
        address = base or _server(document, source)
        return Operation(
            method.upper(), address.rstrip("/") + path, arguments.schema(), arguments.places
        )
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("openapi: the document is malformed, or nested too deeply") from error


def _operations(
    document: Mapping[str, Any],
) -> Iterator[tuple[str, str, Mapping[str, Any], list[Any]]]:
    """Yield path, method, operation and shared parameters of all operations."""
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method], item.get("parameters", [])


def _server(document: Mapping[str, Any], source: str | None) -> str:
    servers = document.get("servers") or [{"url": "/"}]
    server = str(servers[0]["url"])
    if "{" in server:
        raise ValueError("url: is needed, as the document's server has variables")
    if source is None:
        if "://" not in server:
            raise ValueError("url: is needed, as the document names no server")
        return server
    address = urljoin(source, server)
    # Reason: who can change the document must not be able to get the secrets.
    if httpx.URL(address).host != httpx.URL(source).host:
        raise ValueError("url: is needed, as the document names another host than its own")
    return address


class _Schemas:
    """Resolves the references of a document; its schemas become `$defs` of a tool's schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._node_count = 0
        self.definitions: dict[str, Any] = {}

    def resolve(self, node: Any) -> Any:
        """Return what a node refers to, or the node."""
        for _ in range(_MAX_HOPS):
            if not isinstance(node, Mapping) or "$ref" not in node:
                return node
            node = self._at(str(node["$ref"]))
        raise ValueError("openapi: a reference leads to itself")

    def convert(self, schema: Any) -> Any:
        """Return a schema whose references lead to `$defs`, in words of JSON Schema."""
        self._node_count += 1
        if self._node_count > _MAX_NODES:
            raise ValueError("openapi: the schemas of the operation are too large")
        if isinstance(schema, list):
            return [self.convert(each) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema["$ref"])
        kept = {
            name: self._convert_part(name, value)
            for name, value in schema.items()
            if name not in _UNUSED and not str(name).startswith("x-")
        }
        return _as_json_schema(kept)

    def _convert_part(self, name: str, value: Any) -> Any:
        if name in {"properties", "patternProperties"} and isinstance(value, Mapping):
            # Reason: a property may be called like a word of OpenAPI.
            return {str(each): self.convert(schema) for each, schema in value.items()}
        if name in {"enum", "const", "default"}:
            return value
        return self.convert(value)

    def _reference(self, reference: str) -> dict[str, Any]:
        name = re.sub(r"[^A-Za-z0-9]+", "_", reference).strip("_")
        name = name.removeprefix("components_schemas_")
        if name not in self.definitions:
            self.definitions[name] = {}  # Reason: a schema may refer to itself.
            self.definitions[name] = self.convert(self._at(reference))
        return {"$ref": f"#/$defs/{name}"}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ValueError(f"openapi: {reference} is in another document")
        node: Any = self._document
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node.get(key)
            if node is None:
                raise ValueError(f"openapi: there is no {reference}")
        return node


class _Arguments:
    """Collects the arguments of an operation."""

    def __init__(self, schemas: _Schemas) -> None:
        self._schemas = schemas
        self._properties: dict[str, Any] = {}
        self._required: set[str] = set()
        self.places: dict[str, Place] = {}

    def schema(self) -> dict[str, Any]:
        """Return the schema of all arguments."""
        schema: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": self._properties,
        }
        if self._required:
            schema["required"] = sorted(self._required)
        if self._schemas.definitions:
            schema["$defs"] = self._schemas.definitions
        return schema

    def add_parameter(self, parameter: Mapping[str, Any]) -> None:
        """Add a parameter; one that cannot be sent is left out if it is not needed."""
        name, place = str(parameter["name"]), _PLACES.get(parameter["in"])
        is_required = bool(parameter.get("required")) or place is Place.PATH
        if place is None or "schema" not in parameter:
            if is_required:
                raise ValueError(f"openapi: the parameter {name} cannot be sent by a tool")
            return
        schema = self._schemas.convert(parameter["schema"])
        if "description" in parameter:
            schema = {**schema, "description": parameter["description"]}
        self._add(name, schema, place, is_required=is_required)

    def add_body(self, body: Mapping[str, Any]) -> None:
        """Add the body: each field of an object is an argument, else the body is one."""
        content = body.get("content", {}).get("application/json")
        if content is None:
            raise ValueError("openapi: the body of the operation is not JSON")
        given = content.get("schema", {})
        schema = self._schemas.resolve(given)
        properties = schema.get("properties", {})
        is_flat = (
            schema.get("type") == "object"
            and properties
            and self._properties.keys().isdisjoint(properties)
            and not {"allOf", "anyOf", "oneOf"} & schema.keys()
        )
        if not is_flat:
            is_required = bool(body.get("required"))
            whole = self._schemas.convert(given)
            self._add("body", whole, Place.WHOLE_BODY, is_required=is_required)
            return
        required = set(schema.get("required", [])) if body.get("required", True) else set()
        for name, each in properties.items():
            if isinstance(each, Mapping) and each.get("readOnly"):
                continue
            self._add(name, self._schemas.convert(each), Place.BODY, is_required=name in required)

    def _add(self, name: str, schema: Any, place: Place, *, is_required: bool) -> None:
        if name in self._properties and self.places[name] is not place:
            raise ValueError(f"openapi: there are two arguments of the name {name}")
        self._properties[name], self.places[name] = schema, place
        self._required |= {name} if is_required else set()


def _as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Translate what OpenAPI 3.0 says otherwise than JSON Schema."""
    for name, bound in _BOUNDS.items():
        if isinstance(schema.get(name), bool) and schema.pop(name) and bound in schema:
            schema[name] = schema.pop(bound)
    if schema.pop("nullable", None) and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    return schema
