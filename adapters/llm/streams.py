"""The bodies of an answer, whether it streams or not."""

import json
from collections.abc import AsyncIterator
from typing import Protocol

import httpx2

from adapters.llm.errors import refuse_error


class Stream(Protocol):
    """The stream of an SDK."""

    response: httpx2.Response

    def __aiter__(self) -> AsyncIterator[object]:
        """Yield the bodies of its events."""
        ...


async def bodies(stream: Stream) -> AsyncIterator[object]:
    """Yield what a provider answers, event by event.

    Args:
        stream: Just opened.

    Yields:
        The body of each event; the only one of an answer that does not stream.

    Raises:
        ProviderFaultError: The only one is an error.
    """
    kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        # Reason: some servers and proxies ignore `stream`; an SDK finds no event in their answer.
        body = json.loads(await stream.response.aread())
        refuse_error(body)
        yield body
        return
    async for each in stream:
        yield each
