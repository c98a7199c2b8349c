"""Step that compares the usage with the plan's limits and with the models' log."""

from rich.table import Table

from commands.demo.api_client import Document
from commands.demo.checks import expect, short
from commands.demo.context import DemoContext


def meter(context: DemoContext) -> None:
    """Compare the customer's usage with the tokens in the log of the models' sandbox."""
    context.step("What the runs used, compared with the plan's limits")
    runs = context.results.runs
    entitlements = context.customer.entitlements()
    used, limits = entitlements["used"], entitlements["limits"]
    booked_usage = sum(_tokens(run["usage"]) for run in runs)
    calls = context.models.calls(after=context.results.model_call_seq)
    counted = sum(_tokens(call) for call in calls)
    expect(used["agent_run_count"] == len(runs), f"{len(runs)} runs are counted", used)
    same = "usage, runs and the models' log have the same number of tokens"
    expect(used["token_count"] == booked_usage == counted, same, (used, booked_usage, counted))
    expect(used["cost_cents"] > 0, "the runs have a cost", used)
    context.console.print(_table(used, limits))
    context.say(f"the models' log has the same {counted} tokens, in {len(calls)} calls")
    resets_at = short(entitlements["resets_at"])
    context.say(f"access is {entitlements['access']}; the usage is reset at {resets_at}")
    versions = {run["prompt_version"] for run in runs}
    context.say(f"each run is pinned to prompt {runs[0]['agent']}/{', '.join(versions)}")


def _tokens(usage: Document) -> int:
    return int(usage["prompt_tokens"] + usage["completion_tokens"])


def _table(used: Document, limits: Document) -> Table:
    table = Table("used in this period", "", "of", box=None, header_style="dim")
    table.add_row("runs", str(used["agent_run_count"]), str(limits["agent_run_count"]))
    table.add_row("tokens", f"{used['token_count']:,}", f"{limits['token_count']:,}")
    cost = f"{used['cost_cents']:.4f}"
    table.add_row("cents, at the prices of gpt-4.1", cost, str(limits["cost_cents"]))
    return table
