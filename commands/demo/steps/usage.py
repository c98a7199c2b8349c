"""What all of it used up, against the limits of the plan and the model's own log."""

from rich.table import Table

from commands.demo.api_client import Document
from commands.demo.checks import expect, short
from commands.demo.context import DemoContext


def meter(context: DemoContext) -> None:
    """Compare what was booked with what the model's stand-in has counted."""
    context.chapter("What it used up")
    runs = context.results.runs
    entitlements = context.customer.entitlements()
    used, limits = entitlements["used"], entitlements["limits"]
    booked = sum(_tokens(run["usage"]) for run in runs)
    calls = context.models.calls(after=context.results.model_call_seq)
    counted = sum(_tokens(call) for call in calls)
    expect(used["agent_run_count"] == len(runs), f"{len(runs)} runs are counted", used)
    expect(used["token_count"] == booked == counted, "all count the same tokens", used)
    expect(used["cost_cents"] > 0, "they cost something", used)
    context.console.print(_table(used, limits))
    context.say(f"the model's own log has {counted} tokens in {len(calls)} calls, to the token")
    context.say(
        f"access is {entitlements['access']}; it begins anew {short(entitlements['resets_at'])}"
    )
    versions = {run["prompt_version"] for run in runs}
    context.say(f"prompt {runs[0]['agent']}/{', '.join(versions)}, pinned by each run")


def _tokens(usage: Document) -> int:
    return int(usage["prompt_tokens"] + usage["completion_tokens"])


def _table(used: Document, limits: Document) -> Table:
    table = Table("used in this period", "", "of", box=None, header_style="dim")
    table.add_row("runs", str(used["agent_run_count"]), str(limits["agent_run_count"]))
    table.add_row("tokens", f"{used['token_count']:,}", f"{limits['token_count']:,}")
    cost = f"{used['cost_cents']:.4f}"
    table.add_row("cents, as if it were gpt-4.1", cost, str(limits["cost_cents"]))
    return table
