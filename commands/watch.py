"""Follow a subscription or a run of an agent as it lives."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, InvalidURI

from commands.watch_agent_runs import RunPrinter
from domain.ids import agent_run_workflow_id, subscription_workflow_id

PAUSE_SECONDS = 1.0
_UNAUTHENTICATED = 4401
_UNKNOWN = 4404
_ENDED = 1000
_STYLES = {"status_changed": "bold", "retry_failed": "red", "retry_paid": "green"}


class WatchError(Exception):
    """There is nothing to watch; the message says why in one line."""


class _Stream(NamedTuple):
    """One thing that can be watched.

    Args:
        path: Where the API tells of it.
        what: What it is called.
        key: Its id.
    """

    path: str
    what: str
    key: str


SUBSCRIPTION = "subscription"
AGENT_RUN = "agent run"


def _streams_of(target: str) -> list[_Stream]:
    """Return what an id may be, most likely first: a bare one does not say it."""
    kinds = (
        ("/ws/subscriptions", SUBSCRIPTION, subscription_workflow_id("")),
        ("/ws/agent-runs", AGENT_RUN, agent_run_workflow_id("")),
    )
    named = [kind for kind in kinds if target.startswith(kind[2])]
    streams = []
    for path, what, prefix in named or kinds:
        key = target.removeprefix(prefix)
        streams.append(_Stream(f"{path}/{quote(key, safe='')}", what, key))
    return streams


class Watch:
    """One person's look at one subscription or run."""

    def __init__(self, api: str, api_key: str, target: str, after: int) -> None:
        """Say what to watch.

        Args:
            api: The API's address.
            api_key: Whose right to look.
            target: Id of a subscription or of an agent run, or of the workflow of either.
            after: Number of the last event that is known already.
        """
        self.after = after
        self.api = api.rstrip("/")
        self._target = target
        self._candidates = _streams_of(target)
        self._headers = {"X-API-Key": api_key}

    @property
    def what(self) -> str:
        """What it is; once an event came, or the end, it is known."""
        return self._candidates[0].what

    @property
    def key(self) -> str:
        """Its id."""
        return self._candidates[0].key

    async def events(self, say: Callable[[str], object]) -> AsyncIterator[dict[str, Any]]:
        """Yield events as they happen, over lost connections too, until the thing has ended.

        Args:
            say: Takes a line, with rich's markup, that tells of a lost connection.

        Raises:
            WatchError: The API refuses us.
        """
        is_told = False
        while True:
            url = self._url()
            code: int | None = None
            try:
                # Reason: what a model or a tool said may be longer than the usual limit.
                async with connect(
                    f"{url}?after={self.after}", additional_headers=self._headers, max_size=None
                ) as socket:
                    async for text in socket:
                        is_told = False
                        event: dict[str, Any] = json.loads(text)
                        self.after = event["seq"]
                        yield event
                    code = socket.close_code
            except (InvalidStatus, InvalidURI, ValueError) as error:
                # Reason: a gateway says 502 or 503 for an API that is just being started again.
                if not isinstance(error, InvalidStatus) or error.response.status_code < 500:
                    raise WatchError(f"{url} is no address of the API: {error}") from error
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
            except (OSError, TimeoutError, InvalidMessage):
                # Reason: a server that is killed in the handshake leaves an InvalidMessage.
                pass
            if code == _ENDED:
                return
            if self._is_next(code):
                continue
            if not is_told:
                say(f"[dim]no connection; trying again from event {self.after}[/]")
                is_told = True
            await asyncio.sleep(PAUSE_SECONDS)

    def _url(self) -> str:
        return f"{self.api.replace('http', 'ws', 1)}{self._candidates[0].path}"

    def _is_next(self, code: int | None) -> bool:
        """Go on to the next thing that the id may be, if it is not the one that was asked for.

        Raises:
            WatchError: The API refuses us, or knows nothing by this id.
        """
        if code == _UNAUTHENTICATED:
            raise WatchError("the key is not valid here")
        if code != _UNKNOWN:
            return False
        if len(self._candidates) == 1:
            names = " or ".join(stream.what for stream in _streams_of(self._target))
            raise WatchError(f"there is no such {names}: {self._target}")
        del self._candidates[0]
        return True


async def follow(watch: Watch, console: Console) -> int:
    """Print every event until the end.

    Args:
        watch: What to look at.
        console: Where to print.

    Returns:
        The exit code: 1 if a run of an agent ended otherwise than completed, else 0.

    Raises:
        WatchError: The API refuses us.
    """
    teller: RunPrinter | None = None

    def say(line: str) -> None:
        if teller is not None:
            teller.end_line()
        console.print(line)

    async for event in watch.events(say):
        if watch.what == SUBSCRIPTION:
            console.print(line_of(event), soft_wrap=True)
        else:
            teller = teller or RunPrinter(console, watch.api, watch.key)
            teller.tell(event)
    say(f"[dim]the {watch.what} has ended[/]")
    if watch.what == SUBSCRIPTION:
        return 0
    # Reason: without its last event nobody knows here how a run ended.
    return teller.exit_code if teller else 1


def line_of(event: dict[str, Any]) -> str:
    """Render an event as one line.

    Args:
        event: As the WebSocket sends it.

    Returns:
        Number, time, kind and summary, with rich's markup.
    """
    at = str(event["created_at"])[:19].replace("T", " ")
    summary = escape(str(event["data"].get("summary", "")))
    style = _STYLES.get(event["kind"], "default")
    return f"[dim]{event['seq']:>5}  {at}[/]  [{style}]{escape(event['kind']):<32}[/] {summary}"
