"""Finds the path where the state of something can be read, by its id."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.types import Scope

from api.http.handled_request import handled_request

_API = "/api/v1"
# Collection of a resource by the name of its id. A workflow stands for what has no resource.
_COLLECTIONS = {
    "subscription_id": "subscriptions",
    "payment_id": "payments",
    "payment_retry_id": "payment-retries",
    "agent_run_id": "agent-runs",
    "document_id": "documents",
    "workflow_id": "workflows",
}


def location_of(ids: Mapping[str, Any]) -> str | None:
    """Return the path of the resource that one of these ids names; None if there is none."""
    for name, collection in _COLLECTIONS.items():
        if name in ids:
            return f"{_API}/{collection}/{ids[name]}"
    return None


def ids_in(scope: Scope) -> dict[str, str]:
    """Return the ids of the resources that a request names in its path, or creates."""
    given = scope.get("path_params", {})
    # Reason: other parameters may hold anything, and input is never repeated in an answer.
    ids = {name: str(given[name]) for name in _COLLECTIONS if _is_uuid(given.get(name))}
    request = handled_request(scope, status=0)
    for name, collection in _COLLECTIONS.items():
        if request.resource_id and request.route == f"{_API}/{collection}":
            ids[name] = request.resource_id
    return ids


def _is_uuid(value: object) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False
