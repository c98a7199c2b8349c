"""Commands that take the id of a resource: `watch` and `explain`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from commands.settings import StackOption

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of a subscription, agent run, payment retry, payment or document, of its "
        "workflow, or of the invoice of a payment retry (in_…).",
    ),
]
ApiOption = Annotated[str | None, typer.Option(help="Address of the API, instead of a stack.")]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(envvar="PERDURE_ADMIN_API_KEY", help="API key to use with --api."),
]


def watch(
    target: IdArgument,
    after: Annotated[int, typer.Option(min=0, help="Show events after this number.")] = 0,
    stack: StackOption = None,
    api: ApiOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Print the events of a resource live. Ctrl-C stops; --after continues.

    Subscriptions and agent runs have events; a payment retry has those of its subscription; of
    payments and documents the changes of the status are printed.

    Exit code 0: the resource ended well; 1: the run, payment, payment retry or document ended
    otherwise; 2: there is no such resource, or it cannot be watched. A connection that is lost
    later is made again.
    """
    from rich.console import Console  # noqa: PLC0415

    from commands.resources import ResourceReader  # noqa: PLC0415
    from commands.watch.resource import watch_resource  # noqa: PLC0415

    console = Console(highlight=False)
    address, key = _find_api(stack, api, api_key)
    reader = ResourceReader(address, key)
    try:
        raise typer.Exit(asyncio.run(watch_resource(reader, key, target, after, console)))
    except KeyboardInterrupt:
        return


def explain(
    target: IdArgument,
    stack: StackOption = None,
    api: ApiOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Explain the status of a resource, and what happens next.

    Exit code 0: it is explained; 2: there is no such resource, or the API does not answer.
    """
    from commands.explain import explain as explain_resource  # noqa: PLC0415
    from commands.resources import ResourceReader  # noqa: PLC0415

    reader = ResourceReader(*_find_api(stack, api, api_key))
    for line in asyncio.run(explain_resource(reader, target)):
        typer.echo(line)


def _find_api(stack: Path | None, api: str | None, api_key: str | None) -> tuple[str, str]:
    """Return the API's address and a key: as given, or those of a running stack."""
    from commands.targets import DEFAULT_STACK, find_stack, read_stack  # noqa: PLC0415

    if api is not None:
        return api, api_key or ""
    facts = read_stack(find_stack(stack, {}) or DEFAULT_STACK, has_settings=False)
    return facts["api"], facts["admin_api_key"]
