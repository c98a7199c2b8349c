"""The commands below `cli.py agents`."""

import typer

agents_app = typer.Typer(help="Look at the agents.", no_args_is_help=True)


@agents_app.callback()
def _agents() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@agents_app.command("check", epilog="Example: python cli.py agents check")
def check_agents() -> None:
    """Check the specs and prompts of all agents, and list what is wrong; no stack is needed.

    Exit code 0: all are well; 1: something is wrong.
    """
    from rich.console import Console  # noqa: PLC0415

    from commands.agents.check import check_all  # noqa: PLC0415

    raise typer.Exit(check_all(Console(highlight=False, soft_wrap=True)))
