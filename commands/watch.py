"""Follows the events of a subscription or an agent run, and prints them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, InvalidURI

from commands.settings import CommandError
from commands.watch_agent_runs import RunPrinter
from domain.ids import agent_run_workflow_id, subscription_workflow_id

PAUSE_SECONDS = 1.0
_UNAUTHENTICATED = 4401
_UNKNOWN = 4404
_ENDED = 1000
_STYLES = {"status_changed": "bold", "retry_failed": "red", "retry_paid": "green"}


class WatchError(CommandError):
    """The target cannot be watched; the message is the reason, in one line."""


class _Stream(NamedTuple):
    """One stream of events of the API.

    Args:
        path: Path of the WebSocket.
        what: Kind of the target: `subscription` or `agent run`.
        key: Id of the subscription or of the agent run.
    """

    path: str
    what: str
    key: str


SUBSCRIPTION = "subscription"
AGENT_RUN = "agent run"


def _streams_of(target: str) -> list[_Stream]:
    """Return the streams that an id may belong to, the most likely first."""
    kinds = (
        ("/ws/subscriptions", SUBSCRIPTION, subscription_workflow_id("")),
        ("/ws/agent-runs", AGENT_RUN, agent_run_workflow_id("")),
    )
    with_prefix = [kind for kind in kinds if target.startswith(kind[2])]
    streams = []
    for path, what, prefix in with_prefix or kinds:
        key = target.removeprefix(prefix)
        streams.append(_Stream(f"{path}/{quote(key, safe='')}", what, key))
    return streams


class Watch:
    """Reads the events of one subscription or agent run from the API's WebSocket."""

    def __init__(self, api: str, api_key: str, target: str, after: int) -> None:
        """Set the target to watch.

        Args:
            api: The API's address.
            api_key: API key of a user who may read the target.
            target: Id of a subscription or an agent run, or of the workflow of either.
            after: Sequence number of the last event that was read already.
        """
        self.after = after
        self.api = api.rstrip("/")
        self._target = target
        self._candidates = _streams_of(target)
        self._headers = {"X-API-Key": api_key}

    @property
    def what(self) -> str:
        """Return the kind of the target, which is certain after the first event or the end."""
        return self._candidates[0].what

    @property
    def key(self) -> str:
        """Return the id of the subscription or of the agent run."""
        return self._candidates[0].key

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
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
            except (OSError, TimeoutError, InvalidMessage):
                # Reason: the client raises InvalidMessage if the server dies in the handshake.
                pass
            if code == _ENDED:
                return
            if self._try_next(code):
                continue
            if not is_loss_printed:
                say(f"[dim]no connection; trying again from event {self.after}[/]")
                is_loss_printed = True
            await asyncio.sleep(PAUSE_SECONDS)

    def _url(self) -> str:
        return f"{self.api.replace('http', 'ws', 1)}{self._candidates[0].path}"

    def _try_next(self, code: int | None) -> bool:
        """Switch to the next candidate stream if the API does not know this one.

        Args:
            code: Close code of the WebSocket; None if there was none.

        Returns:
            Whether the stream was switched.

        Raises:
            WatchError: The API refuses the key, or knows none of the streams.
        """
        if code == _UNAUTHENTICATED:
            raise WatchError("the API key is not valid here")
        if code != _UNKNOWN:
            return False
        if len(self._candidates) == 1:
            names = " or ".join(stream.what for stream in _streams_of(self._target))
            raise WatchError(f"there is no such {names}: {self._target}")
        del self._candidates[0]
        return True


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
        console.print(line)

    async for event in watch.events(say):
        if watch.what == SUBSCRIPTION:
            console.print(line_of(event), soft_wrap=True)
        else:
            printer = printer or RunPrinter(console, watch.api, watch.key)
            printer.tell(event)
    say(f"[dim]the {watch.what} has ended[/]")
    if watch.what == SUBSCRIPTION:
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
