"""The commands below `cli.py evals`."""

from pathlib import Path
from typing import Annotated

import typer

from commands.settings import StackOption

evals_app = typer.Typer(help="Evaluate agents and their prompts.", no_args_is_help=True)


@evals_app.callback()
def _evals() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@evals_app.command(
    "run",
    epilog="Example: python cli.py evals run examples/evals/research.toml --prompt v1 --prompt v2",
)
def run_evals(
    file: Annotated[Path, typer.Argument(help="File of cases.")],
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Version of the prompt; repeated, all versions are compared."),
    ] = None,
    user_id: Annotated[
        str | None,
        typer.Option(help="Who owns the runs; without it, a user is made in the Stripe sandbox."),
    ] = None,
    stack: StackOption = None,
) -> None:
    """Play a file of cases against an agent of a running stack, and print a table.

    With a real model this costs money. Exit code 0: all cases have passed with the last version;
    1: one has failed; 2: there is no answer.
    """
    from rich.console import Console  # noqa: PLC0415

    from commands.evals.command import run_evals as play  # noqa: PLC0415
    from commands.targets import DEFAULT_STACK, find_stack, read_stack  # noqa: PLC0415

    facts = read_stack(find_stack(stack, {}) or DEFAULT_STACK, has_settings=False)
    console = Console(highlight=False, soft_wrap=True)
    raise typer.Exit(play(facts, file, prompt or [], user_id, console))
