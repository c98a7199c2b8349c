"""Command line of Perdure: parses the arguments and calls the package of each command."""

import asyncio
import contextlib
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.by_id import explain, watch
from commands.settings import StackOption, read_environ, read_settings, refuse, stack_facts

PROJECT = Path(__file__).resolve().parent

app = typer.Typer(help="The durable backend of an AI product.", no_args_is_help=True)


class PortChoice(StrEnum):
    """Ways in which `up` chooses its ports."""

    FIXED = "fixed"
    AUTO = "auto"


@app.callback()
def _root() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="Folder of the stack's data.")] = Path(".perdure"),
    ports: Annotated[
        PortChoice,
        typer.Option(help="fixed: the default ports, or PERDURE_PORT_<NAME>; auto: free ports."),
    ] = PortChoice.FIXED,
) -> None:
    """Start the whole stack on this machine, and keep it running until Ctrl-C."""
    from stack.up import up as run_stack  # noqa: PLC0415

    raise typer.Exit(run_stack(PROJECT, data, read_environ(), is_auto=ports is PortChoice.AUTO))


@app.command()
def migrate() -> None:
    """Migrate the database and prepare Temporal's namespace."""
    from commands.migrate import migrate_database, prepare  # noqa: PLC0415
    from config import Settings  # noqa: PLC0415

    settings = Settings()
    migrate_database(settings.database_url)
    asyncio.run(prepare(settings, os.environ.get("PERDURE_ADMIN_API_KEY")))
    typer.echo("database and namespace are up to date")


@app.command()
def replay(
    target: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Id of a workflow or a resource, or a history file."),
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
    from commands.replay import replay_command  # noqa: PLC0415
    from commands.replay_running import replay_running_command  # noqa: PLC0415

    if (target is None) != running or (running and (run_id or record)):
        refuse(["pass either an ID or a history file, or --running alone"])
    if target is None:
        raise typer.Exit(asyncio.run(replay_running_command(stack, read_environ())))
    path = PROJECT / "tests" / "replay" / "histories" / f"{record}.json" if record else None
    raise typer.Exit(asyncio.run(replay_command(target, stack, path, read_environ(), run_id)))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the demo's stack; a temporary one by default."),
    ] = None,
) -> None:
    """Play two months of a customer on a stack of its own, and check every step."""
    from commands.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(PROJECT, data, is_kept=keep))


admin_app = typer.Typer(help="Manage administrators.", no_args_is_help=True)
app.add_typer(admin_app, name="admin")


@admin_app.command("create")
def create_admin(
    email: Annotated[str, typer.Option(help="E-mail address of the administrator.")],
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
    only with --promote, which replaces the password and revokes the old API keys and tokens.
    """
    from commands.admin import create_admin as create  # noqa: PLC0415
    from domain.errors import ApplicationError  # noqa: PLC0415

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    try:
        made = asyncio.run(create(read_settings(stack), email, password, is_promoted=promote))
    except ApplicationError as error:
        refuse([error.message])
    if made.password is not None:
        typer.echo(f"the new password, shown only now: {made.password}", err=True)
    typer.echo(f"{made.email} {made.what}; the API key, shown only now:", err=True)
    typer.echo(made.api_key)


stripe_app = typer.Typer(help="Manage the Stripe account.", no_args_is_help=True)
app.add_typer(stripe_app, name="stripe")


@stripe_app.callback()
def _stripe() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@stripe_app.command("setup")
def set_up_stripe(
    url: Annotated[
        str,
        typer.Option(help="Address for webhooks: https://<your API>/api/v1/webhooks/stripe"),
    ],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the changes, but make none."),
    ] = False,
    remove_old: Annotated[
        bool,
        typer.Option("--remove-old", help="Delete endpoints of other API versions at this URL."),
    ] = False,
    stack: StackOption = None,
) -> None:
    """Make or update the webhook endpoint and the customer portal's configuration at Stripe.

    The endpoint gets the API version and the event types that this release handles. The secret of
    a new endpoint is printed once: Stripe does not show the secret again.
    """
    from commands.stripe.setup import set_up_stripe as set_up  # noqa: PLC0415
    from commands.targets import Target  # noqa: PLC0415
    from domain.errors import ApplicationError  # noqa: PLC0415

    stripe = read_settings(stack).stripe
    setup = set_up(
        stripe,
        url,
        typer.echo,
        is_dry_run=dry_run,
        is_old_removed=remove_old,
        target=Target.of(stack, stack_facts(stack)),
    )
    try:
        asyncio.run(setup)
    except ApplicationError as error:
        refuse([error.message])


@app.command()
def doctor(
    stack: StackOption = None,
    paid: Annotated[
        bool,
        typer.Option("--paid", help="Also check a streamed tool call of each model; costs money."),
    ] = False,
) -> None:
    """Check every setting and dependency; exit code 1 if a check fails."""
    from rich.console import Console  # noqa: PLC0415

    from commands.doctor import examine, show  # noqa: PLC0415

    settings = read_settings(stack, exit_code=1, is_serving=True)
    findings = asyncio.run(examine(settings, stack_facts(stack), stack, is_paid=paid))
    raise typer.Exit(show(Console(highlight=False, soft_wrap=True), findings))


@app.command()
def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PUT, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(help="Path below /api/v1, with its query.")],
    body: Annotated[str | None, typer.Argument(help="JSON to send.")] = None,
    stack: StackOption = None,
) -> None:
    """Send one request to the API of a running stack, as its administrator.

    Exit code 0: the answer is a success; 1: it is an error; 2: there is no answer.
    """
    from commands.api import RequestError, call_api  # noqa: PLC0415
    from commands.targets import DEFAULT_STACK, TargetError, find_stack, read_stack  # noqa: PLC0415

    try:
        facts = read_stack(find_stack(stack, {}) or DEFAULT_STACK)
        status, answer = call_api(method, path, body, facts)
    except TargetError as error:
        refuse(list(map(str, error.args)))
    except RequestError as error:
        refuse([str(error)])
    typer.echo(answer)
    raise typer.Exit(0 if status < 400 else 1)


app.command()(watch)
app.command()(explain)


def main() -> None:
    """Run a command, and end the process at once with the command's exit code."""
    code = 1
    try:
        app()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    # Reason: Temporal's SDK may abort the process during the interpreter's normal shutdown.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
