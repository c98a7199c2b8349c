"""Plays a file of cases against an agent, and prints a table; compares versions of its prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from commands.evals.cases import Outcome, read_cases
from commands.evals.players import Player


def run_evals(
    facts: Mapping[str, Any],
    path: Path,
    versions: Sequence[str],
    user_id: str | None,
    console: Console,
) -> int:
    """Play all cases of a file with each version of the prompt, and print what became of them.

    Args:
        facts: What the `stack.json` of the running stack says.
        path: The file of cases.
        versions: Versions of the prompt; empty for the agent's own.
        user_id: Who owns the runs; None makes a user, in a sandbox only.
        console: Console to print on.

    Returns:
        Exit code: 0 if all cases have passed with the last version, else 1.

    Raises:
        EvalFileError: The file is wrong, or the API refuses something.
        RequestError: The API cannot be reached.
    """
    file = read_cases(path)
    player = Player(facts, file.agent, user_id)
    wanted: list[str | None] = list(versions) or [None]
    outcomes: list[list[Outcome]] = []
    for version in wanted:
        played = []
        for number, case in enumerate(file.cases, 1):
            label = f"{version or file.agent}: case {number} of {len(file.cases)}, {case.name}"
            with console.status(label):
                played.append(player.play(case, version))
        outcomes.append(played)
    _show(outcomes, console)
    return 1 if any(outcome.problems for outcome in outcomes[-1]) else 0


def _show(outcomes: Sequence[Sequence[Outcome]], console: Console) -> None:
    """Print a row for each case, and a column for each version."""
    table = Table("case", box=None)
    for played in outcomes:
        table.add_column(played[0].prompt_version)
    for row in zip(*outcomes, strict=True):
        table.add_row(escape(row[0].name), *(_cell(outcome) for outcome in row))
    table.add_row("", *("" for _ in outcomes))
    table.add_row("passed", *(_passed(played) for played in outcomes))
    table.add_row("tokens", *(str(sum(each.token_count for each in p)) for p in outcomes))
    table.add_row("cents", *(f"{sum(each.cost_cents for each in p):.4f}" for p in outcomes))
    table.add_row("seconds", *(f"{sum(each.seconds for each in p):.1f}" for p in outcomes))
    console.print(table)


def _cell(outcome: Outcome) -> str:
    if not outcome.problems:
        return "[green]passed[/green]"
    return f"[red]failed[/red]: {escape('; '.join(outcome.problems))}"


def _passed(played: Sequence[Outcome]) -> str:
    count = sum(not outcome.problems for outcome in played)
    return f"{count} of {len(played)}"
