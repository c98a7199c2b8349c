"""Command line of Perdure: parses the arguments and calls the package of each command."""

import asyncio
import contextlib
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.agents.app import agents_app
from commands.by_id import explain, watch
from commands.evals.app import evals_app
from commands.settings import (
    StackOption,
    allow_private_hosts,
    log_to_stderr,
    read_environ,
    read_settings,
    refuse,
    refuse_misspelled_names,
    report,
    stack_facts,
)
from commands.stripe.app import stripe_app
from commands.tools import tools_app

PROJECT = Path(__file__).resolve().parent

app = typer.Typer(help="The durable backend of an AI product.", no_args_is_help=True)

FastOption = Annotated[
    bool,
    typer.Option(
        "--fast-retries",
        help="Let the retry policy `default` wait for seconds; with the Stripe sandbox only. "
        "Without this option it waits for days again.",
    ),
]


class PortChoice(StrEnum):
    """Ways in which `up` chooses its ports."""

    FIXED = "fixed"
    AUTO = "auto"


@app.callback()
def _root() -> None:
    # Reason: the help must be there whatever is set.
    if "--help" not in sys.argv:
        refuse_misspelled_names()


@app.command(epilog="Example: python cli.py up --ports auto --data /tmp/perdure")
def up(
    data: Annotated[Path, typer.Option(help="Folder of the stack's data.")] = Path(".perdure"),
    ports: Annotated[
        PortChoice,
        typer.Option(help="fixed: the default ports, or PERDURE_PORT_<NAME>; auto: free ports."),
    ] = PortChoice.FIXED,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Start worker and API again when the code changes."),
    ] = False,
    fast_retries: FastOption = False,
    allow_private: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Let webhooks be sent to this host of a private network, on this port; "
            "may be repeated.",
        ),
    ] = None,
) -> None:
    """Start the whole stack on this machine, and keep it running until Ctrl-C."""
    from stack.up import up as run_stack  # noqa: PLC0415

    code = run_stack(
        PROJECT,
        data,
        allow_private_hosts(read_environ(), allow_private or []),
        is_auto=ports is PortChoice.AUTO,
        is_reloading=reload,
        is_fast=fast_retries,
    )
    raise typer.Exit(code)


@app.command(epilog="Example: python cli.py migrate")
def migrate(fast_retries: FastOption = False) -> None:
    """Migrate the database, prepare Temporal's namespace, and make the first administrator.

    It is safe to repeat. The administrator has the API key of PERDURE_ADMIN_API_KEY, and the
    address of PERDURE_ADMIN_EMAIL; without a key none is made.
    """
    from bootstrap.settings import load_settings  # noqa: PLC0415
    from commands.migrate import migrate_database, prepare  # noqa: PLC0415
    from config import Settings  # noqa: PLC0415

    settings = load_settings(Settings)
    migrate_database(settings.database_url)
    asyncio.run(prepare(settings, read_environ(), is_fast=fast_retries))
    typer.echo("database and namespace are up to date")


@app.command(epilog="Example: python cli.py replay subscription-<id>")
def replay(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="What explain takes, the id of any other workflow, or a history file.",
        ),
    ] = None,
    running: Annotated[
        bool,
        typer.Option("--running", help="Replay all open executions, before a deploy."),
    ] = False,
    run_id: Annotated[
        str | None,
        typer.Option(help="Run of the workflow; by default the newest."),
    ] = None,
    stack: StackOption = None,
    record: Annotated[
        str | None,
        typer.Option(help="Save the history as a test, tests/replay/histories/NAME.json."),
    ] = None,
) -> None:
    """Replay a workflow's history with the current code, and print the first difference.

    A history file is JSON as `temporal workflow show --output json` and the API write it. Exit code
    0: the history replays; 1: it differs; 2: there is no such history.
    """
    from commands.replay.command import replay_command  # noqa: PLC0415
    from commands.replay.running import replay_running_command  # noqa: PLC0415

    if (target is None) != running or (running and (run_id or record)):
        refuse(["pass either an ID or a history file, or --running alone"])
    if target is None:
        raise typer.Exit(asyncio.run(replay_running_command(stack, read_environ())))
    path = PROJECT / "tests" / "replay" / "histories" / f"{record}.json" if record else None
    raise typer.Exit(asyncio.run(replay_command(target, stack, path, read_environ(), run_id)))


@app.command(epilog="Example: python cli.py demo --keep")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the demo's stack; a temporary one by default."),
    ] = None,
) -> None:
    """Play some months of two customers on a stack of its own, and check every step."""
    from commands.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(PROJECT, data, is_kept=keep))


admin_app = typer.Typer(help="Manage administrators.", no_args_is_help=True)
app.add_typer(admin_app, name="admin")


@admin_app.command("create", epilog="Example: python cli.py admin create --email you@example.com")
def create_admin(
    email: Annotated[str, typer.Option(help="Email address of the administrator.")],
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read the password from standard input."),
    ] = False,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Make an existing user an administrator; replace the password, revoke the keys.",
        ),
    ] = False,
    stack: StackOption = None,
) -> None:
    """Make an administrator, and print a new API key, which cannot be shown again.

    A stranger may have signed up with the address. So an existing user becomes an administrator
    only with --promote, which replaces the password and revokes the old API keys and tokens. An
    administrator who exists gets one more API key.
    """
    from commands.admin import create_admin as create  # noqa: PLC0415

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    made = asyncio.run(create(read_settings(stack), email, password, is_promoted=promote))
    if made.password is not None:
        typer.echo(f"the new password, shown only now: {made.password}", err=True)
    typer.echo(f"{made.email} {made.what}; the API key, shown only now:", err=True)
    typer.echo(made.api_key)


app.add_typer(stripe_app, name="stripe")
app.add_typer(tools_app, name="tools")

app.add_typer(agents_app, name="agents")
app.add_typer(evals_app, name="evals")


@app.command(epilog="Example: python cli.py doctor")
def doctor(
    stack: StackOption = None,
    paid: Annotated[
        bool,
        typer.Option("--paid", help="Also check a streamed tool call of each model; costs money."),
    ] = False,
) -> None:
    """Check every setting and dependency; exit code 1 if a check fails, 2 if no stack is found."""
    from rich.console import Console  # noqa: PLC0415

    from commands.doctor.examine import examine, show  # noqa: PLC0415

    settings = read_settings(stack, exit_code=1, is_serving=True)
    findings = asyncio.run(examine(settings, stack_facts(stack), stack, is_paid=paid))
    raise typer.Exit(show(Console(highlight=False, soft_wrap=True), findings))


@app.command(epilog="Example: python cli.py reconcile")
def reconcile(stack: StackOption = None) -> None:
    """Compare everything with Stripe now, and print what was found and repaired.

    Missed events are delivered, and subscriptions that are behind are read anew. Nothing is
    charged. Exit code 0: it was completed; 1: it failed; 2: there is no answer.
    """
    from rich.console import Console  # noqa: PLC0415

    from commands.reconcile import reconcile as compare  # noqa: PLC0415
    from commands.targets import DEFAULT_STACK, find_stack, read_stack  # noqa: PLC0415

    facts = read_stack(find_stack(stack, {}) or DEFAULT_STACK, has_settings=False)
    raise typer.Exit(compare(facts, Console(highlight=False, soft_wrap=True)))


@app.command(epilog="Example: python cli.py api GET 'subscriptions?limit=5'")
def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PUT, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(help="Path below /api/v1, with its query.")],
    body: Annotated[str | None, typer.Argument(help="JSON to send.")] = None,
    stack: StackOption = None,
) -> None:
    """Send one request to the API of a running stack, as its administrator.

    Exit code 0: the answer is a success; 1: it is an error; 2: there is no answer.
    """
    from commands.api import call_api  # noqa: PLC0415
    from commands.targets import DEFAULT_STACK, find_stack, read_stack  # noqa: PLC0415

    facts = read_stack(find_stack(stack, {}) or DEFAULT_STACK, has_settings=False)
    status, answer = call_api(method, path, body, facts)
    typer.echo(answer)
    raise typer.Exit(0 if status < 400 else 1)


app.command(epilog="Example: python cli.py watch <id> --after 12")(watch)
app.command(epilog="Example: python cli.py explain <id>")(explain)


def main() -> None:
    """Run a command, and end the process at once with the command's exit code."""
    code = 1
    log_to_stderr()
    try:
        app()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except Exception as error:  # noqa: BLE001 - every error ends the process here
        code = report(error)
    # Reason: Temporal's SDK may abort the process during the interpreter's normal shutdown.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
