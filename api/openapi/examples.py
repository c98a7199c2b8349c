"""Puts examples into the document as they were written; FastAPI leaves out their nulls."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter
from starlette.routing import BaseRoute


def answer(status: int, example: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response of a success whose example is not that of its schema."""
    return {status: {"content": {"application/json": {"example": example}}}}


def restore_examples(document: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Replace the examples of all schemas and responses by those of the models and routes."""
    operations = {
        operation["operationId"]: operation
        for item in document["paths"].values()
        for operation in item.values()
    }
    schemas = document["components"]["schemas"]
    for route in _described(routes):
        if route.response_model is not None:
            for name, examples in _examples(route.response_model):
                schemas[name]["examples"] = examples
        for status, response in route.responses.items():
            for media_type, described in response.get("content", {}).items():
                responses = operations[route.name]["responses"]
                # Reason: problems are added to the document later, never to the route itself.
                responses[str(status)]["content"][media_type] |= deepcopy(described)


def _described(routes: Sequence[BaseRoute]) -> Iterator[APIRoute]:
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            yield route


def _examples(model: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the names of the schemas of a model and of its parts, with their examples."""
    schema = TypeAdapter(model).json_schema(mode="serialization")
    for each in (schema, *schema.get("$defs", {}).values()):
        if "examples" in each:
            yield each["title"], each["examples"]
