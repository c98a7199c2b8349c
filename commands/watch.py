"""Follow a subscription as it lives, one line an event."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, InvalidURI

PAUSE_SECONDS = 1.0
_REFUSED = {4401: "the key is not valid here", 4404: "there is no such subscription"}
_ENDED = 1000
_STYLES = {"status_changed": "bold", "retry_failed": "red", "retry_paid": "green"}


class WatchError(Exception):
    """There is nothing to watch; the message says why in one line."""


class Watch:
    """One person's look at one subscription."""

    def __init__(self, api: str, api_key: str, subscription_id: str, after: int) -> None:
        """Say what to watch.

        Args:
            api: The API's address.
            api_key: Whose right to look.
            subscription_id: What to watch.
            after: Number of the last event that is known already.
        """
        self.after = after
        host = api.rstrip("/").replace("http", "ws", 1)
        self._url = f"{host}/ws/subscriptions/{subscription_id}"
        self._headers = {"X-API-Key": api_key}

    async def events(self, console: Console) -> AsyncIterator[dict[str, Any]]:
        """Yield events as they happen, over lost connections too, until the subscription ends.

        Args:
            console: Where to tell of lost connections.

        Raises:
            WatchError: The API refuses us.
        """
        is_told = False
        while True:
            try:
                url = f"{self._url}?after={self.after}"
                async with connect(url, additional_headers=self._headers) as socket:
                    is_told = False
                    async for text in socket:
                        event: dict[str, Any] = json.loads(text)
                        self.after = event["seq"]
                        yield event
                    code: int | None = socket.close_code
            except (InvalidStatus, InvalidURI, ValueError) as error:
                # Reason: a gateway says 502 or 503 for an API that is just being started again.
                if not isinstance(error, InvalidStatus) or error.response.status_code < 500:
                    raise WatchError(f"{self._url} is no address of the API: {error}") from error
                code = None
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
            except (OSError, TimeoutError, InvalidMessage):
                # Reason: a server that is killed in the handshake leaves an InvalidMessage.
                code = None
            if code == _ENDED:
                return
            if code in _REFUSED:
                raise WatchError(_REFUSED[code])
            if not is_told:
                console.print(f"[dim]no connection; trying again from event {self.after}[/]")
                is_told = True
            await asyncio.sleep(PAUSE_SECONDS)


async def follow(watch: Watch, console: Console) -> None:
    """Print every event until the subscription has ended.

    Args:
        watch: What to look at.
        console: Where to print.

    Raises:
        WatchError: The API refuses us.
    """
    async for event in watch.events(console):
        console.print(line_of(event), soft_wrap=True)
    console.print("[dim]the subscription has ended[/]")


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
