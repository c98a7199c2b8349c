"""What the subscription can tell about itself."""

from rich.table import Table

from commands.demo.checks import expect, short
from commands.demo.context import DemoContext


def look_back(context: DemoContext) -> None:
    """Ask why it is as it is, and what happens next."""
    context.chapter("Why, and what next?")
    explained = context.customer.explain()
    for sentence in explained["because"]:
        context.say(sentence)
    expect(bool(explained["next"]), "it is known what happens next", explained)
    for step in explained["next"]:
        context.say(f"next: {step['what']} ({short(step['at'])})")
    table = Table("seq", "what", "summary", box=None, header_style="dim")
    shown = {"status_changed", "retry_failed", "retry_paid", "last_resort"}
    for event in context.customer.events(*shown):
        table.add_row(str(event["seq"]), event["kind"], event["summary"])
    context.console.print(table)
