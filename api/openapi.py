"""The API's description: what FastAPI derives, with problems under their own media type."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import PROBLEM_TYPE
from api.schemas.common import Problem

DESCRIPTION = """
The durable backend of an AI product: subscriptions and payment retries as Temporal workflows.

* **Auth**: `Authorization: Bearer` with a token of `POST /api/v1/auth/token`, or `X-API-Key`.
  Users see their own, administrators all; somebody else's resource is 404.
* **Safe repeats**: every `POST` takes an `Idempotency-Key`. Same key and body: the same resource
  and answer, also when sent twice at once. Same key, other body: 409 `idempotency_key_reused`.
* **Starting work** answers 202 with the resource, its `workflow_id` and `Location`. A **command**
  answers 200 with the resource as it now is, 409 if it does not fit the resource's state, or 503
  `outcome_pending` when it takes too long: it goes on, and the same key gets its answer.
* **Errors** are problem documents (RFC 9457) with a stable `code`. Bad input, and so an unknown
  field or query parameter, is 422: it names the field and never gives a value back.
* **Card numbers** are refused in names and ids, and masked in free text.
* **Lists** take `limit` and `cursor` and answer `{"items": [...], "next_cursor": ...}`.
"""

TAGS = [
    {"name": "auth", "description": "Logging in."},
    {"name": "users", "description": "Accounts."},
    {"name": "api-keys", "description": "Keys for programs."},
    {"name": "plans", "description": "What can be subscribed to."},
    {"name": "retry-policies", "description": "When failed payments are tried again."},
    {"name": "payment-methods", "description": "Cards."},
    {"name": "subscriptions", "description": "Each is one durable workflow."},
    {"name": "payment-retries", "description": "Payment retries of unpaid invoices."},
    {"name": "payments", "description": "Money that moved."},
    {"name": "agents", "description": "Which agents there are, and their prompts."},
    {"name": "conversations", "description": "What was said."},
    {"name": "agent-runs", "description": "Each is one durable workflow."},
    {"name": "documents", "description": "What agents answer from."},
    {"name": "memories", "description": "What agents remember of a user."},
    {"name": "entitlements", "description": "What a customer may use."},
    {"name": "webhooks", "description": "Where Stripe tells its events."},
    {"name": "webhook-events", "description": "What Stripe told, and what became of it."},
    {"name": "workflows", "description": "Temporal's own view of the work."},
    {"name": "admin", "description": "For whoever runs the system."},
    {"name": "streams", "description": "Events as they happen: WebSockets, server-sent events."},
    {"name": "health", "description": "Alive, ready, and how much of what."},
]

PREFIX = "/api/v1"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_WITH_BODY = frozenset({"put", "post", "patch"})
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_CONTENT = {PROBLEM_TYPE: {"schema": _PROBLEM}}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the app's OpenAPI document, made once."""
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
    """Add what is checked before a route begins, and so is the same for all of them."""
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
