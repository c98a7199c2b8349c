"""Checks the files of all agents."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.registry import SpecFile, problems_of, read_spec_files
from agents.spec import AgentSpec
from bootstrap.tools import make_tool_catalog
from services.agents.model_calls.output import schema_problems
from workflows.agents.graphs import PATTERNS


def check_all(console: Console) -> int:
    """Print all agents and what is wrong with them, and return the exit code."""
    files = read_spec_files()
    tools = make_tool_catalog().names
    table = Table("agent", "pattern", "prompt", "tools", "team", "cache", box=None)
    problems: list[str] = []
    is_readable = not any(file.problem for file in files)
    for file in files:
        problems += _problems(file, tools, is_readable=is_readable)
        if file.spec is not None:
            table.add_row(*map(escape, _row(file.spec)))
    console.print(table)
    for problem in problems:
        console.print(f"[red]wrong[/red]  {escape(problem)}")
    if not problems:
        console.print(f"all {len(files)} agents are well")
    return 1 if problems else 0


def _problems(file: SpecFile, tools: frozenset[str], *, is_readable: bool) -> list[str]:
    if file.spec is None:
        return [file.problem or ""]
    # Reason: whether members exist can be told once all files can be read.
    problems = list(problems_of(file.spec, PATTERNS.keys(), tools)) if is_readable else []
    return [*problems, *schema_problems(file.spec)]


def _row(spec: AgentSpec) -> tuple[str, ...]:
    members = ", ".join(spec.team.members) if spec.team else "-"
    tools = ", ".join(spec.tool_names) or "-"
    cache = f"{spec.cache.ttl_hours} h" if spec.cache else "-"
    return spec.name, spec.pattern, spec.prompt_version, tools, members, cache
