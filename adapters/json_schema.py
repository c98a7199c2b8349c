"""Checks JSON documents against JSON schemas, without the network."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

MAX_MISMATCHES = 5
MAX_MISMATCH_LENGTH = 300


def schema_problem(schema: dict[str, Any]) -> str | None:
    """Return what is wrong with a JSON schema; None if it can be used.

    Args:
        schema: Schema of draft 2020-12; its references must stay within it.
    """
    try:
        json.dumps(schema, allow_nan=False)
        Draft202012Validator.check_schema(schema)
        resource = DRAFT202012.create_resource(schema)
        resolver: Any = Registry().with_resource("", resource).resolver()
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as error:
        return _line(error.json_path, error.message)
    except Unresolvable as error:
        return f"the reference {error.ref} leads nowhere"
    except (TypeError, ValueError) as error:
        return f"it is no JSON: {error}"
    return None


def find_mismatches(schema: dict[str, Any], document: Any) -> tuple[str, ...]:
    """Return where a document does not fit a schema, in a few short lines.

    Args:
        schema: A schema without problems.
        document: JSON document, from outside.

    Returns:
        One line for each mismatch, at most `MAX_MISMATCHES`; empty if the document fits.
    """
    # Reason: an empty registry never fetches a reference from the network.
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        found = list(islice(validator.iter_errors(document), MAX_MISMATCHES))
    except RecursionError:
        return ("it is nested too deeply",)
    return tuple(_line(error.json_path, error.message) for error in found)


def _line(path: str, message: str) -> str:
    line = " ".join(f"{path}: {message}".split())
    return line if len(line) <= MAX_MISMATCH_LENGTH else f"{line[:MAX_MISMATCH_LENGTH]}…"


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(found := value.get("$ref"), str):
            yield found
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
