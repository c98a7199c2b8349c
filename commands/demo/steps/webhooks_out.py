"""Step that looks at the webhooks that the team's own app has received."""

from rich.table import Table

from commands.demo.api_client import Document
from commands.demo.checks import expect, wait_until
from commands.demo.context import DemoContext


def check_webhooks(context: DemoContext) -> None:
    """Check that all events of the subscription have arrived, in order and signed."""
    context.step("What the team's own app was told")
    subscription_id = context.customer.subscription()["subscription_id"]
    events: list[Document] = wait_until(
        context.console,
        "waiting for the last webhook",
        lambda: _events(context, subscription_id),
        lambda events: events and _is_last(events[-1]),
    )
    numbers = [event["data"]["seq"] for event in events]
    expect(numbers == list(range(1, len(events) + 1)), "no webhook is missing", numbers)
    types = {event["type"].partition(".")[2] for event in events}
    expected = {"created", "trialing", "trial_will_end", "active", "updated", "paused"}
    expect(expected <= types, f"these were told: {expected}", types)
    table = Table("seq", "webhook", "changed", box=None, header_style="dim")
    for event in events:
        changed = ", ".join(event["data"].get("previous", {}))
        table.add_row(str(event["data"]["seq"]), event["type"], changed)
    context.console.print(table)
    context.say(
        f"{len(events)} webhooks about this subscription, in order, none missing, "
        "each signature verified by the library of Standard Webhooks"
    )


def _events(context: DemoContext, subscription_id: str) -> list[Document]:
    return [
        event
        for event in context.team_app.events
        if event["data"].get("subscription_id") == subscription_id
    ]


def _is_last(event: Document) -> bool:
    previous = event["data"].get("previous", {})
    return "cancel_at" in previous and event["data"]["cancel_at"] is None
