"""Watches any resource: the events of its stream, or the changes of its status."""

import asyncio

from rich.console import Console
from rich.markup import escape

from commands.explain import describe
from commands.resources import (
    DOCUMENT,
    PAYMENT,
    PAYMENT_RETRY,
    SUBSCRIPTION,
    Kind,
    NoConnectionError,
    Resource,
    ResourceReader,
)
from commands.watch.events import PAUSE_SECONDS, Watch, follow
from domain.payment_retries.lifecycle import CLOSED, RetryStatus

# Statuses after which more is to be expected, and those that are a failure.
_OPEN: dict[Kind, frozenset[str]] = {
    PAYMENT: frozenset({"pending", "requires_action"}),
    DOCUMENT: frozenset({"pending"}),
}
_FAILED = frozenset({"failed", "canceled"})


async def watch_resource(
    reader: ResourceReader,
    api_key: str,
    target: str,
    after: int,
    console: Console,
) -> int:
    """Print what happens to a resource until it has ended.

    Args:
        reader: Reads from the API.
        api_key: API key of a user who may read the resource.
        target: Id of a resource, or of its workflow.
        after: Sequence number of the last event that was read already.
        console: Console to print on.

    Returns:
        Exit code: 1 if an agent run, payment, payment retry or document did not end well, else 0.

    Raises:
        ResourceError: There is no such resource, or the API refuses or does not answer at first.
        WatchError: The API refuses the stream.
    """
    watch: Watch | None = None
    try:
        resource = await reader.find(target)
        if resource.kind in {PAYMENT, DOCUMENT}:
            return await _follow_status(reader, resource, console)
        kind, key = resource.kind, resource.key
        if kind is PAYMENT_RETRY and resource.status in CLOSED:
            _print_lines(describe(resource), console)
            return _report_end(
                resource, console, is_failed=resource.status != RetryStatus.RECOVERED
            )
        if kind is PAYMENT_RETRY:
            kind, key = SUBSCRIPTION, str(resource.fields["subscription_id"])
            console.print(f"[dim]its subscription is {key}[/]", soft_wrap=True)
        watch = Watch(reader.api, api_key, kind, key, after)
        return await follow(watch, console)
    except asyncio.CancelledError:
        console.print(f"\n[dim]continue with --after {watch.after if watch else after}[/]")
        raise


async def _read_again(reader: ResourceReader, resource: Resource, console: Console) -> Resource:
    """Read a resource again as soon as the API answers."""
    is_loss_printed = False
    while True:
        try:
            return await reader.find(f"{resource.kind.prefix}{resource.key}")
        except NoConnectionError as error:
            if not is_loss_printed:
                console.print(f"[dim]{escape(str(error))}; trying again[/]", soft_wrap=True)
                is_loss_printed = True
            await asyncio.sleep(PAUSE_SECONDS)


async def _follow_status(reader: ResourceReader, resource: Resource, console: Console) -> int:
    """Print the status of a resource without a stream, whenever it changes, until it is final."""
    printed = list[str]()
    while True:
        lines = describe(resource)
        if lines != printed:
            _print_lines(lines, console)
            printed = lines
        if resource.status not in _OPEN[resource.kind]:
            return _report_end(resource, console, is_failed=resource.status in _FAILED)
        await asyncio.sleep(PAUSE_SECONDS)
        resource = await _read_again(reader, resource, console)


def _print_lines(lines: list[str], console: Console) -> None:
    console.print(escape("\n".join(lines)), soft_wrap=True)


def _report_end(resource: Resource, console: Console, *, is_failed: bool) -> int:
    """Say that a resource has ended, and return the exit code."""
    console.print(f"[dim]the {resource.kind.name} has ended[/]")
    return 1 if is_failed else 0
