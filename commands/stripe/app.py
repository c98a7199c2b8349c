"""The commands below `cli.py stripe`."""

import asyncio
from typing import Annotated

import typer

from commands.settings import StackOption, read_settings, stack_facts

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
