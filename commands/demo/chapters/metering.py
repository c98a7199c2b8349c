"""What all of it used up, against the limits of the plan and the model's own log."""

from rich.table import Table

from commands.demo.checks import expect
from commands.demo.line import Document
from commands.demo.moments import short
from commands.demo.stage import Stage


def meter(stage: Stage) -> None:
    """Compare what was booked with what the model's stand-in has counted."""
    stage.chapter("What it used up")
    runs = stage.told.runs
    entitlements = stage.customer.entitlements()
    used, limits = entitlements["used"], entitlements["limits"]
    booked = sum(_tokens(run["usage"]) for run in runs)
    calls = stage.models.calls(after=stage.told.model_call_seq)
    counted = sum(_tokens(call) for call in calls)
    expect(used["agent_run_count"] == len(runs), f"{len(runs)} runs are counted", used)
    expect(used["token_count"] == booked == counted, "all count the same tokens", used)
    expect(used["cost_cents"] > 0, "they cost something", used)
    stage.console.print(_table(used, limits))
    stage.say(f"the model's own log has {counted} tokens in {len(calls)} calls, to the token")
    stage.say(
        f"access is {entitlements['access']}; it begins anew {short(entitlements['resets_at'])}"
    )
    versions = {run["prompt_version"] for run in runs}
    stage.say(f"prompt {runs[0]['agent']}/{', '.join(versions)}, pinned by each run")


def _tokens(usage: Document) -> int:
    return int(usage["prompt_tokens"] + usage["completion_tokens"])


def _table(used: Document, limits: Document) -> Table:
    table = Table("used in this period", "", "of", box=None, header_style="dim")
    table.add_row("runs", str(used["agent_run_count"]), str(limits["agent_run_count"]))
    table.add_row("tokens", f"{used['token_count']:,}", f"{limits['token_count']:,}")
    cost = f"{used['cost_cents']:.4f}"
    table.add_row("cents, as if it were gpt-4.1", cost, str(limits["cost_cents"]))
    return table
