"""The smallest value that a JSON schema allows."""

from typing import Any

_FORMATS = {
    "uuid": "00000000-0000-0000-0000-000000000000",
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "nobody@example.com",
    "uri": "https://example.com/",
}


def smallest(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Return the smallest value that a schema allows; patterns are not looked at.

    Args:
        schema: What the value must be like.
        root: Where `#/$defs/` is; None if it is the schema itself.
    """
    root = schema if root is None else root
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if reference := schema.get("$ref"):
        return smallest(_resolved(reference, root), root)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return smallest(options[0], root)
    if parts := schema.get("allOf"):
        values = [smallest(part, root) for part in parts]
        return {name: value for part in values for name, value in part.items()}
    return _of_type(schema, root)


def _of_type(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required", [])
            return {name: smallest(properties.get(name, {}), root) for name in required}
        case "array":
            item = schema.get("items", {})
            return [smallest(item, root) for _ in range(schema.get("minItems", 0))]
        case "string":
            return _FORMATS.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
    return None


def _number(schema: dict[str, Any]) -> float:
    if "exclusiveMinimum" in schema:
        return int(schema["exclusiveMinimum"]) + 1
    lowest: float = schema.get("minimum", min(0, schema.get("maximum", 0)))
    step: float = schema.get("multipleOf", 1)
    return -(-lowest // step) * step if schema.get("type") == "integer" else lowest


def _resolved(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)
