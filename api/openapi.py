"""Builds the OpenAPI document: FastAPI's own, with problems under their own media type."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import PROBLEM_TYPE
from api.schemas.common import Problem

DESCRIPTION = """
The durable backend of an AI product: subscriptions and payment retries as Temporal workflows.

* **Authentication**: `Authorization: Bearer` with a token from `POST /api/v1/auth/token`, or
  `X-API-Key`. Users see their own resources, administrators see all. A resource of another user
  is answered with 404.
* **Safe repeats**: every `POST` except those of `auth` and `webhooks` accepts an
  `Idempotency-Key`. The same key and body get the same resource and answer, also when sent twice
  at once. The same key with another body gets 409 `idempotency_key_reused`.
* **Starting work** is answered with 202, the resource with its `workflow_id`, and `Location`. A
  **command** is answered with 200 and the resource as it is afterwards, with 409 if the state of
  the resource does not allow it, or with 503 `outcome_pending` if it takes too long. It goes on
  then: `Location` is where its state can be read, and the same key gets its answer.
* **Errors** are problem documents (RFC 9457) with a stable `code`. Invalid input, such as an
  unknown field or query parameter, is answered with 422. The answer names the field, and never
  repeats its value.
* **Card numbers** are refused in names and ids, and masked in free text.
* **Lists** take `limit` and `cursor`, and return `{"items": [...], "next_cursor": ...}`.
"""

TAGS = [
    {"name": "auth", "description": "Logging in, and tickets for streams."},
    {"name": "users", "description": "User accounts."},
    {"name": "api-keys", "description": "API keys for programs."},
    {"name": "plans", "description": "What customers can subscribe to."},
    {"name": "retry-policies", "description": "When failed payments are retried."},
    {"name": "payment-methods", "description": "Cards of customers."},
    {"name": "subscriptions", "description": "Each subscription is a durable workflow."},
    {"name": "payment-retries", "description": "Retries of the payment of unpaid invoices."},
    {"name": "payments", "description": "Payments and refunds."},
    {"name": "agents", "description": "The agents and their prompts."},
    {"name": "conversations", "description": "Conversations and their messages."},
    {"name": "agent-runs", "description": "Each run of an agent is a durable workflow."},
    {"name": "documents", "description": "Documents that agents answer from."},
    {"name": "memories", "description": "What agents remember about a user."},
    {"name": "entitlements", "description": "What a customer may use."},
    {"name": "webhooks", "description": "Receives the events of Stripe."},
    {"name": "webhook-events", "description": "Received events, and how they were processed."},
    {"name": "workflows", "description": "Executions of workflows at Temporal."},
    {"name": "admin", "description": "For administrators of the system."},
    {"name": "streams", "description": "Live events: WebSockets, server-sent events."},
    {"name": "health", "description": "Liveness and readiness."},
]

PREFIX = "/api/v1"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_WITH_BODY = frozenset({"put", "post", "patch"})
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_CONTENT = {PROBLEM_TYPE: {"schema": _PROBLEM}}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the app; it is built once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=TAGS,
        )
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if method in _METHODS:
                    _add_problems(path, method, operation)
                    _document_problems(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _add_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add the problems of the checks that run before every route."""
    responses = operation["responses"]
    found = set()
    if operation.get("security"):
        found.add(HTTPStatus.UNAUTHORIZED)
    if path.startswith(PREFIX):
        found |= {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE}
    if path.startswith(PREFIX) and method in _WITH_BODY:
        found |= {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        found.add(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", [])):
        found.add(HTTPStatus.CONFLICT)
    for status in found:
        responses.setdefault(str(status.value), {"description": status.phrase})


def _document_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", _PROBLEM)
        is_problem = schema == _PROBLEM or schema.get("$ref", "").endswith("/HTTPValidationError")
        if status >= "4" and is_problem:
            response["content"] = _CONTENT
