"""Follows the events of a subscription or an agent run, and prints them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, InvalidURI

from commands.resources import SUBSCRIPTION, Kind, reason_of
from commands.settings import CommandError
from commands.watch.agent_runs import RunPrinter

PAUSE_SECONDS = 1.0
_UNAUTHENTICATED = 4401
_UNKNOWN = 4404
_ENDED = 1000
_STYLES = {"status_changed": "bold", "retry_failed": "red", "retry_paid": "green"}


class WatchError(CommandError):
    """The target cannot be watched; the message is the reason, in one line."""


class Watch:
    """Reads the events of one subscription or agent run from the API's WebSocket."""

    def __init__(self, api: str, api_key: str, kind: Kind, key: str, after: int) -> None:
        """Set the target to watch.

        Args:
            api: The API's address.
            api_key: API key of a user who may read the target.
            kind: `SUBSCRIPTION` or `AGENT_RUN`.
            key: Id of the subscription or of the agent run.
            after: Sequence number of the last event that was read already.
        """
        self.after = after
        self.api = api.rstrip("/")
        self.kind = kind
        self.key = key
        self._headers = {"X-API-Key": api_key}

    async def events(self, say: Callable[[str], object]) -> AsyncIterator[dict[str, Any]]:
        """Yield the target's events until it has ended; reconnect after lost connections.

        Args:
            say: Prints a line, with rich's markup, when the connection is lost.

        Raises:
            WatchError: The API refuses the connection, or does not know the target.
        """
        is_loss_printed = False
        while True:
            url = self._url()
            code: int | None = None
            cause = "has cut the connection"
            try:
                # Reason: an event with a model's or a tool's text may exceed the default limit.
                async with connect(
                    f"{url}?after={self.after}", additional_headers=self._headers, max_size=None
                ) as socket:
                    async for text in socket:
                        is_loss_printed = False
                        event: dict[str, Any] = json.loads(text)
                        self.after = event["seq"]
                        yield event
                    code = socket.close_code
            except (InvalidStatus, InvalidURI, ValueError) as error:
                # Reason: a gateway answers 502 or 503 while the API restarts.
                if not isinstance(error, InvalidStatus) or error.response.status_code < 500:
                    raise WatchError(f"{url} is not an address of the API: {error}") from error
                cause = f"answers {error.response.status_code}"
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
            except (OSError, TimeoutError, InvalidMessage) as error:
                # Reason: the client raises InvalidMessage if the server dies in the handshake.
                cause = f"cannot be reached: {reason_of(error)}"
            if code == _ENDED:
                return
            self._check(code)
            if not is_loss_printed:
                lost = escape(f"{self.api} {cause}; trying again from event {self.after}")
                say(f"[dim]{lost}[/]")
                is_loss_printed = True
            await asyncio.sleep(PAUSE_SECONDS)

    def _url(self) -> str:
        path = f"/ws/{self.kind.path}/{quote(self.key, safe='')}"
        return f"{self.api.replace('http', 'ws', 1)}{path}"

    def _check(self, code: int | None) -> None:
        """Raise an error if the API has closed the WebSocket for good.

        Args:
            code: Close code of the WebSocket; None if there was none.

        Raises:
            WatchError: The API refuses the key, or does not know the target.
        """
        if code == _UNAUTHENTICATED:
            raise WatchError("the API key is not valid here")
        if code == _UNKNOWN:
            raise WatchError(f"there is no such {self.kind.name}: {self.key}")


async def follow(watch: Watch, console: Console) -> int:
    """Print every event until the target has ended.

    Args:
        watch: The target to watch.
        console: Console to print on.

    Returns:
        Exit code: 1 if an agent run did not end as completed, else 0.

    Raises:
        WatchError: The API refuses the connection, or does not know the target.
    """
    printer: RunPrinter | None = None

    def say(line: str) -> None:
        if printer is not None:
            printer.end_line()
        console.print(line, soft_wrap=True)

    async for event in watch.events(say):
        if watch.kind is SUBSCRIPTION:
            console.print(line_of(event), soft_wrap=True)
        else:
            printer = printer or RunPrinter(console, watch.api, watch.key)
            printer.tell(event)
    say(f"[dim]the {watch.kind.name} has ended[/]")
    if watch.kind is SUBSCRIPTION:
        return 0
    # Reason: without the run's last event its final status is unknown here.
    return printer.exit_code if printer else 1


def line_of(event: dict[str, Any]) -> str:
    """Format an event of a subscription as one line.

    Args:
        event: Event as the WebSocket sends it.

    Returns:
        Sequence number, time, kind and summary, with rich's markup.
    """
    at = str(event["created_at"])[:19].replace("T", " ")
    summary = escape(str(event["data"].get("summary", "")))
    style = _STYLES.get(event["kind"], "default")
    return f"[dim]{event['seq']:>5}  {at}[/]  [{style}]{escape(event['kind']):<32}[/] {summary}"
