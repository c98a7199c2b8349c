"""Checks the arguments of tools by a JSON schema that comes from outside."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import Draft202012Validator
from pydantic import ConfigDict, model_validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from agents.tools.spec import Arguments

# Reason: models read the whole schema with every step.
MAX_SCHEMA_LENGTH = 50_000
_MAX_MESSAGE_LENGTH = 300


class SchemaArguments(Arguments):
    """Base of arguments that a JSON schema checks."""

    model_config = ConfigDict(extra="allow", str_strip_whitespace=False)

    document: ClassVar[Mapping[str, Any]] = {}
    is_checked: ClassVar[bool] = True

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the schema as it came."""
        return deepcopy(dict(cls.document))

    @model_validator(mode="before")
    @classmethod
    def _check(cls, given: Any) -> Any:
        problem = find_problem(cls.document, given) if cls.is_checked else None
        if problem is not None:
            raise ValueError(problem)
        return given


def make_arguments(
    name: str, schema: Mapping[str, Any], *, is_checked: bool = True
) -> type[Arguments]:
    """Make the class of a tool's arguments.

    Args:
        name: Name of the tool.
        schema: Schema of the arguments, which is valid.
        is_checked: Whether the arguments are checked here.
    """
    facts = {"__module__": __name__, "document": schema, "is_checked": is_checked}
    return type(name, (SchemaArguments,), facts)


def find_problem(schema: Mapping[str, Any], document: Any) -> str | None:
    """Return what is wrong with a document; None if its schema allows it."""
    # Reason: the default registry would load a schema from any address that a reference names.
    validator = Draft202012Validator(dict(schema), registry=Registry())
    try:
        found = best_match(validator.iter_errors(document))
    except (RecursionError, Unresolvable):
        return "the schema of the tool cannot be evaluated"
    if found is None:
        return None
    place = ".".join(map(str, found.absolute_path))
    message = found.message
    if len(message) > _MAX_MESSAGE_LENGTH:
        message = f"{message[:_MAX_MESSAGE_LENGTH]}…"
    return f"{place}: {message}" if place else message


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a schema of arguments is valid, and needs nothing from elsewhere.

    Raises:
        ValueError: It is not valid; the message says why.
    """
    if schema.get("type") != "object":
        raise ValueError('arguments.type: must be "object"')
    if len(str(schema)) > MAX_SCHEMA_LENGTH:
        raise ValueError(f"arguments: more than {MAX_SCHEMA_LENGTH} letters for models to read")
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        place = ".".join(("arguments", *map(str, error.absolute_path)))
        raise ValueError(f"{place}: {error.message[:_MAX_MESSAGE_LENGTH]}") from error
    _check_references(schema)


def _check_references(schema: Any) -> None:
    """Refuse references out of the document."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError(
                f"arguments.$ref: {reference[:_MAX_MESSAGE_LENGTH]} is in another document"
            )
        for each in schema.values():
            _check_references(each)
    elif isinstance(schema, list):
        for each in schema:
            _check_references(each)
