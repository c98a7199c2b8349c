"""Step that explains the subscription's status."""

from rich.table import Table

from commands.demo.checks import expect, short
from commands.demo.context import DemoContext


def look_back(context: DemoContext) -> None:
    """Print why the subscription has its status, what happens next, and its events."""
    context.step("Why does the subscription have this status, and what happens next?")
    explanation = context.customer.explain()
    for sentence in explanation["because"]:
        context.say(sentence)
    expect(bool(explanation["next"]), "the explanation has next steps", explanation)
    for step in explanation["next"]:
        context.say(f"next: {step['what']} ({short(step['at'])})")
    table = Table("seq", "event", "summary", box=None, header_style="dim")
    shown = {"status_changed", "retry_failed", "retry_paid", "last_resort"}
    for event in context.customer.events(*shown):
        table.add_row(str(event["seq"]), event["kind"], event["summary"])
    context.console.print(table)
