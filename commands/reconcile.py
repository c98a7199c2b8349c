"""Compares everything with Stripe now, and prints what was found."""

import json
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commands.api import call_api
from commands.settings import CommandError

PATH = "reconciliations"
POLL_SECONDS = 1.0
SHOWN_COUNT = 50


class ReconcileError(CommandError):
    """The API refuses to reconcile."""


def reconcile(facts: Mapping[str, Any], console: Console) -> int:
    """Start a full reconciliation, wait for its end, and print its findings.

    Args:
        facts: What the `stack.json` of the running stack says.
        console: Console to print on.

    Returns:
        Exit code: 0 if it was completed, else 1.

    Raises:
        ReconcileError: The API refuses.
        RequestError: The API cannot be reached.
    """
    report = _ask("POST", PATH, facts)
    key = report["reconciliation_id"]
    with console.status(f"reconciliation {key}"):
        while report["reconciliation_status"] == "running":
            time.sleep(POLL_SECONDS)
            report = _ask("GET", f"{PATH}/{key}", facts)
    report = _ask("GET", f"{PATH}/{key}", facts)
    _show(report, console)
    return 0 if report["reconciliation_status"] == "completed" else 1


def _ask(method: str, path: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    status, answer = call_api(method, path, None, facts)
    if status >= 400:
        raise ReconcileError(f"{method} {path} is answered with {status}: {answer}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _show(report: Mapping[str, Any], console: Console) -> None:
    repairs = report["repairs"]
    if repairs:
        table = Table("finding", "resource", "done", "before", "after", box=None)
        for repair in repairs[:SHOWN_COUNT]:
            table.add_row(
                repair["kind"],
                repair["resource_id"],
                repair["action"],
                escape(_facts(repair["before"])),
                escape(_facts(repair["after"])),
            )
        console.print(table)
    if len(repairs) > SHOWN_COUNT:
        path = f"{PATH}/{report['reconciliation_id']}"
        console.print(f"and {len(repairs) - SHOWN_COUNT} more: python cli.py api GET {path}")
    counts = ", ".join(f"{name} {count}" for name, count in sorted(report["counts"].items()))
    console.print(f"{report['reconciliation_status']}: {counts or 'nothing was read'}")
    if report["error_message"]:
        console.print(escape(report["error_message"]))


def _facts(facts: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (facts or {}).items())
