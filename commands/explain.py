"""Explains the status of a resource, and what happens next."""

from typing import Any

from commands.resources import (
    AGENT_RUN,
    DOCUMENT,
    PAYMENT,
    PAYMENT_RETRY,
    SUBSCRIPTION,
    Resource,
    ResourceError,
    ResourceReader,
)

# What an open resource waits for, by its status; the API explains subscriptions itself.
_NEXT = {
    PAYMENT: {
        "pending": "the card is charged, and Stripe answers",
        "requires_action": "the customer authenticates the payment",
    },
    AGENT_RUN: {
        "queued": "it begins when the earlier runs of its conversation have ended",
        "running": "the model or a tool answers",
        "waiting_approval": "somebody decides about each call, or its time is over",
        "waiting_budget": "its budget is raised, or the plan's limit is renewed",
        "waiting_input": "the user answers the run's question, or its time is over",
    },
    DOCUMENT: {"pending": "its passages are stored"},
}
# Statuses of what was paid in the end: an earlier decline is over.
_PAID = frozenset({"succeeded", "partially_refunded", "refunded", "recovered"})


async def explain(reader: ResourceReader, target: str) -> list[str]:
    """Explain a resource, by the API's explanation of its subscription if it has one.

    Args:
        reader: Reads from the API.
        target: Id of a resource, or of its workflow.

    Returns:
        Lines of text: the status, its reasons, and what happens next.

    Raises:
        ResourceError: There is no such resource, or the API refuses or does not answer.
    """
    resource = await reader.find(target)
    lines = describe(resource)
    if resource.kind is SUBSCRIPTION:
        return lines + await _explain_subscription(reader, resource.key)
    if resource.kind is PAYMENT_RETRY:
        subscription_id = resource.fields["subscription_id"]
        return [
            *lines,
            f"subscription {subscription_id}:",
            *await _explain_subscription(reader, subscription_id),
        ]
    return lines


async def _explain_subscription(reader: ResourceReader, subscription_id: str) -> list[str]:
    explanation = await reader.get(f"subscriptions/{subscription_id}/explain")
    if explanation is None:
        raise ResourceError(f"there is no such subscription: {subscription_id}")
    return [
        f"  access: {explanation['access']}",
        *(f"  because: {reason}" for reason in explanation["because"]),
        *(f"  led here: {event['at']} {event['what']}" for event in explanation["led_here"]),
        *(f"  next: {_next(step)}" for step in explanation["next"]),
        f"  allowed now: {', '.join(explanation['can_do']) or 'nothing'}",
        *(f"  {name}: {', '.join(ids)}" for name, ids in (explanation["ids"] or {}).items()),
    ]


def _next(step: dict[str, Any]) -> str:
    return f"{step['what']} ({step['at']})" if step["at"] else str(step["what"])


def describe(resource: Resource) -> list[str]:
    """Return the status of a resource and what the resource itself tells about it, as lines."""
    fields = resource.fields
    lines = [f"{resource.kind.name} {resource.key}: {resource.status}"]
    if error := fields.get("error"):
        lines.append(f"  error: {error['code']}: {error['message'] or 'no details'}")
    if resource.status not in _PAID and (decline_code := fields.get("decline_code")):
        lines.append(f"  declined: {decline_code}")
    if url := fields.get("next_action_url"):
        lines.append(f"  the customer has to authenticate: {url}")
    lines += [
        f"  waits for an approval by {call['approver_role']} until {call['expires_at']}: "
        f"{call['tool']}, call {call['call_id']}"
        for call in fields.get("pending_approvals", ())
    ]
    lines += [
        f"  parked since {step['since']}: {step['step']}: {step['code']}: {step['message']}"
        for step in fields.get("parked", ())
    ]
    return [*lines, *_next_of(resource)]


def _next_of(resource: Resource) -> list[str]:
    """Return what happens next to a resource, as lines; none if its subscription tells."""
    kind = resource.kind
    if resource.fields.get("parked"):
        now = f"POST {kind.path}/{resource.key}/retry-parked"
        return [f"  next: it is tried again, every 6 hours at least; {now} tries at once"]
    if kind not in _NEXT:
        return []
    return [f"  next: {_NEXT[kind].get(resource.status, 'nothing')}"]
