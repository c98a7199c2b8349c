"""Describes the messages of streams, which FastAPI does not describe, as JSON Schemas."""

from typing import Any

from pydantic import TypeAdapter

from api.schemas.run_events import RunEventOut
from api.schemas.subscription_events import SubscriptionStreamEventOut

REF = "#/components/schemas/"
RUN_EVENT = "RunEventOut"
SUBSCRIPTION_EVENT = "SubscriptionStreamEventOut"

STREAMS = f"""

| stream | messages |
| --- | --- |
| `GET /ws/agent-runs/{{agent_run_id}}?after=SEQ` (WebSocket) | `{REF}{RUN_EVENT}` |
| `GET /api/v1/agent-runs/{{agent_run_id}}/events?after=SEQ` (server-sent events) | \
`{REF}{RUN_EVENT}` as `data` |
| `GET /ws/subscriptions/{{subscription_id}}?after=SEQ` (WebSocket) | \
`{REF}{SUBSCRIPTION_EVENT}` |

Each message is one JSON text with `seq`, `kind`, `data` and `created_at`. A WebSocket is closed
with 1000 after the last message, 4401 without a valid credential, 4404 if the resource does not
exist or is not the caller's, and 1013 if the client should try again with its last number as
`after`.
"""

_SCHEMAS: dict[str, TypeAdapter[Any]] = {
    RUN_EVENT: TypeAdapter(RunEventOut),
    SUBSCRIPTION_EVENT: TypeAdapter(SubscriptionStreamEventOut),
}


def stream_schemas() -> dict[str, Any]:
    """Return the JSON Schemas of all messages of streams, and of their parts, by name."""
    unions, parts = TypeAdapter.json_schemas(
        [(name, "serialization", adapter) for name, adapter in _SCHEMAS.items()],
        ref_template=f"{REF}{{model}}",
    )
    named = {name: {"title": name, **schema} for (name, _), schema in unions.items()}
    return {**parts.get("$defs", {}), **named}


def describe_events(operation: dict[str, Any]) -> None:
    """Name the schema of the JSON text in each event of a stream of server-sent events."""
    events = operation["responses"]["200"]["content"].get("text/event-stream")
    if events is None:
        return
    schema = events.get("itemSchema") or events["schema"]
    if "data" in schema.get("properties", {}):
        schema["properties"]["data"]["contentSchema"] = {"$ref": f"{REF}{RUN_EVENT}"}
