"""The commands below `cli.py stripe`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from commands.settings import StackOption, read_settings, refuse, stack_facts

stripe_app = typer.Typer(help="Manage the Stripe account.", no_args_is_help=True)


@stripe_app.callback()
def _stripe() -> None:
    # Reason: without a callback typer drops the name of a single command.
    pass


@stripe_app.command(
    "setup",
    epilog="Example: python cli.py stripe setup --dry-run "
    "--url https://api.example.com/api/v1/webhooks/stripe",
)
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

    stripe = read_settings(stack).stripe
    setup = set_up(
        stripe,
        url,
        typer.echo,
        is_dry_run=dry_run,
        is_old_removed=remove_old,
        target=Target.of(stack, stack_facts(stack)),
    )
    asyncio.run(setup)


@stripe_app.command(
    "import",
    epilog="Example: python cli.py stripe import --mapping customers.csv --report left.csv",
)
def import_account(
    mapping: Annotated[
        Path | None,
        typer.Option(help="CSV: stripe_customer_id, and user_id or external_id."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="CSV to write: the customers that belong to no user."),
    ] = None,
    start_retries: Annotated[
        bool,
        typer.Option(
            "--start-retries",
            help="Import nothing; start the payment retries of invoices that were unpaid before.",
        ),
    ] = False,
    stack: StackOption = None,
) -> None:
    """Import the account's customers, cards and subscriptions; nothing changes at Stripe.

    The workers do it, so it goes on if this command is stopped; called again, the command shows how
    far it is. Customers belong to the users of the mapping, or to those whom our own metadata
    names; an equal email address alone links nobody. Nothing is charged: invoices that are unpaid
    get payment retries that are paused until this command is called with --start-retries. A second
    import changes nothing.
    """
    from rich.console import Console  # noqa: PLC0415

    from commands.stripe.account_import import run_import, start_imported_retries  # noqa: PLC0415

    if start_retries and (mapping or report):
        refuse(["--start-retries imports nothing: leave out --mapping and --report"])
    settings = read_settings(stack)
    if start_retries:
        asyncio.run(start_imported_retries(settings, typer.echo))
        return
    console = Console(highlight=False, soft_wrap=True)
    asyncio.run(run_import(settings, console, mapping, report))
