"""Builds the OpenAPI document: FastAPI's own, with all errors, events and examples."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.errors import PROBLEM_TYPE
from api.http.body_limits import (
    BODY_BYTES,
    BODY_SECONDS,
    DOCUMENT_BYTES,
    UPLOAD_BYTES,
    WEBHOOK_BYTES,
    BodyTimeoutError,
    PayloadTooLargeError,
)
from api.http.routing import UnsupportedMediaTypeError
from api.openapi.commands import describe_commands
from api.openapi.examples import restore_examples
from api.openapi.problems import (
    BAD_CURSOR,
    DATABASE_DOWN,
    KEY_REUSED,
    NOT_AUTHENTICATED,
    add_problems,
    invalid,
)
from api.openapi.streams import STREAMS, describe_events, stream_schemas
from api.schemas.common import Problem
from domain.errors import ApplicationError

DESCRIPTION = """
The durable backend of an AI product: subscriptions and payment retries as Temporal workflows.

* **Authentication**: `Authorization: Bearer` with a token from `POST /api/v1/auth/token`, or
  `X-API-Key`. Users see their own resources, administrators see all. A resource of another user
  is answered with 404.
* **Safe repeats**: every `POST` except those of `auth`, `approval-links` and `webhooks` accepts an
  `Idempotency-Key`. The same key and body get the same resource and answer, also when sent twice
  at once. The same key with another body gets 409 `idempotency_key_reused`.
* **Starting work** is answered with 202, the resource with its `workflow_id`, and `Location`. A
  **command** is answered with 200 and the resource as it is afterwards, with 409 if the state of
  the resource does not allow it, or with 503 `outcome_pending` if it takes too long. It goes on
  then: `Location` is where its state can be read, and the same key gets its answer. Without a key
  there is no `Retry-After`: do not send the request again, since that would do it twice.
* **Errors** are problem documents (RFC 9457) with a stable `code`. Invalid input, such as an
  unknown field or query parameter, is answered with 422. The answer names the field, and never
  repeats its value.
* **Card numbers** are refused in names and ids, and masked in free text.
* **Lists** take `limit` and `cursor`, and return `{"items": [...], "next_cursor": ...}`.
"""

# In the order in which a newcomer uses them.
TAGS = [
    {"name": "auth", "description": "Log in, and get a token."},
    {"name": "users", "description": "Sign up, or import users of your own login."},
    {"name": "api-keys", "description": "API keys for programs."},
    {"name": "plans", "description": "What customers can subscribe to."},
    {"name": "payment-methods", "description": "Cards of customers."},
    {"name": "subscriptions", "description": "Each subscription is a durable workflow."},
    {
        "name": "checkout-sessions",
        "description": "Pages of Stripe's on which customers subscribe.",
    },
    {
        "name": "portal-sessions",
        "description": "Links to Stripe's portal, where customers manage what is theirs.",
    },
    {"name": "entitlements", "description": "What a customer may use."},
    {"name": "usage", "description": "What a customer has used, and what of it is billed."},
    {"name": "agents", "description": "The agents and their prompts."},
    {"name": "documents", "description": "Documents that agents answer from."},
    {"name": "agent-runs", "description": "Each run of an agent is a durable workflow."},
    {"name": "agent-schedules", "description": "Schedules that start runs of agents."},
    {"name": "approvals", "description": "Tool calls that wait for a person, and those decided."},
    {"name": "tool-calls", "description": "Tool calls of which nobody knows if they were done."},
    {"name": "streams", "description": "Live events: tickets, WebSockets, server-sent events."},
    {"name": "conversations", "description": "Conversations and their messages."},
    {"name": "memories", "description": "What agents remember about a user."},
    {"name": "payments", "description": "One-off payments, and refunds of all payments."},
    {"name": "payment-retries", "description": "Retries of the payment of unpaid invoices."},
    {"name": "retry-policies", "description": "When failed payments are retried."},
    {"name": "webhooks", "description": "Receives the events of Stripe."},
    {"name": "webhook-events", "description": "Received events, and how they were processed."},
    {"name": "webhook-endpoints", "description": "Endpoints that get webhooks of what happens."},
    {"name": "reconciliations", "description": "Comparisons with Stripe, and what they found."},
    {"name": "workflows", "description": "Executions of workflows at Temporal."},
    {"name": "admin", "description": "For administrators of the system."},
    {"name": "health", "description": "Liveness and readiness."},
]

PREFIX = "/api/v1"
_WEBHOOKS = f"{PREFIX}/webhooks/"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_FORM = re.compile(r"\bBody_\w+")
_PAGE = "text/html"
_WITH_BODY = frozenset({"put", "post", "patch"})

Operation = dict[str, Any]


def operation_id(route: APIRoute) -> str:
    """Return the operation id of a route, which generated clients use as a name."""
    return route.name


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the app; it is built once."""
    if app.openapi_schema is None:
        document = _renamed(
            get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=app.routes,
                tags=TAGS,
            ),
        )
        restore_examples(document, app.routes)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        schemas |= stream_schemas()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        operations = {}
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method in _METHODS:
                    _complete(path, method, operation, schemas)
                    operations[operation["operationId"]] = operation
        describe_commands(operations)
        for name in ("create_ticket", "stream_agent_run_events"):
            operations[name]["description"] += STREAMS
        describe_events(operations["stream_agent_run_events"])
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = document
    return app.openapi_schema


def _renamed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with names of schemas like those of other schemas.

    FastAPI makes `Listing_PlanOut_` and `Body_create_token` of a list and of a form.
    """
    text = re.sub(r"\bListing_(\w+?)Out_", r"\1ListOut", json.dumps(document))
    names = {name: f"{name[5:].title().replace('_', '')}In" for name in _FORM.findall(text)}
    renamed: dict[str, Any] = json.loads(_FORM.sub(lambda found: names[found[0]], text))
    return renamed


def _complete(path: str, method: str, operation: Operation, schemas: Mapping[str, Any]) -> None:
    """Add the problems of the checks that run before a route, and sort all responses."""
    responses = operation["responses"]
    if PROBLEM_TYPE not in responses.get("422", {}).get("content", {}):
        # Reason: FastAPI describes its own 422, which this API does not answer.
        responses.pop("422", None)
    add_problems(responses, _checks(path, method, operation, schemas))
    if _PAGE in responses.get("200", {}).get("content", {}):
        # Reason: browsers get the errors of pages as pages (`api/http/pages.py`).
        for status in responses.keys() - {"200"}:
            responses[status]["content"][_PAGE] = {"schema": {"type": "string"}}
    operation["responses"] = dict(sorted(responses.items()))


def _checks(
    path: str, method: str, operation: Operation, schemas: Mapping[str, Any]
) -> Iterator[ApplicationError]:
    """Yield the errors of the checks that run before a route."""
    content = operation.get("requestBody", {}).get("content", {})
    names = {each["name"].lower() for each in operation.get("parameters", [])}
    if operation.get("security"):
        yield NOT_AUTHENTICATED
    if "idempotency-key" in names:
        yield KEY_REUSED
    if path.startswith(PREFIX) and method in _WITH_BODY:
        yield BodyTimeoutError(f"the body did not arrive within {BODY_SECONDS:g} s")
        yield too_large(_limit(path))
    for media_type, body in content.items():
        yield UnsupportedMediaTypeError(f"the body must be {media_type}")
        missing = _required(body["schema"], schemas)
        if missing:
            yield invalid(*((f"body.{name}", "Field required") for name in missing))
    if path.startswith(PREFIX):
        if not path.startswith(_WEBHOOKS):
            yield invalid(("query.colour", "this query parameter does not exist"))
        if "cursor" in names:
            yield BAD_CURSOR
        yield DATABASE_DOWN


def too_large(limit_bytes: int) -> PayloadTooLargeError:
    """Return the error for a body above the limit of its path."""
    message = f"the body is larger than {limit_bytes} bytes, the limit of this path"
    return PayloadTooLargeError(message, details={"limit_bytes": limit_bytes})


def _limit(path: str) -> int:
    if path.startswith(_WEBHOOKS):
        return WEBHOOK_BYTES
    limits = {f"{PREFIX}/documents": DOCUMENT_BYTES, f"{PREFIX}/documents/upload": UPLOAD_BYTES}
    return limits.get(path, BODY_BYTES)


def _required(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    """Return the fields that a body must have; none if the body itself may be left out."""
    found = schema
    if "$ref" in schema:
        found = schemas[schema["$ref"].rpartition("/")[2]]
    required: list[str] = found.get("required", [])
    return required
