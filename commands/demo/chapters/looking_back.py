"""What the subscription can tell about itself."""

from rich.table import Table

from commands.demo.checks import expect
from commands.demo.moments import short
from commands.demo.stage import Stage


def look_back(stage: Stage) -> None:
    """Ask why it is as it is, and what happens next."""
    stage.chapter("Why, and what next?")
    explained = stage.customer.explain()
    for sentence in explained["because"]:
        stage.say(sentence)
    expect(bool(explained["next"]), "it is known what happens next", explained)
    for step in explained["next"]:
        stage.say(f"next: {step['what']} ({short(step['at'])})")
    table = Table("seq", "what", "told", box=None, header_style="dim")
    shown = {"status_changed", "retry_failed", "retry_paid", "last_resort"}
    for event in stage.customer.events(*shown):
        table.add_row(str(event["seq"]), event["kind"], event["summary"])
    stage.console.print(table)
