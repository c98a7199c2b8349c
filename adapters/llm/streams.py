"""Reads the bodies of an answer, streamed or not."""

import json
from collections.abc import AsyncIterator
from typing import Protocol

import httpx2

from adapters.llm.errors import raise_error_in


class Stream(Protocol):
    """Stream of an SDK."""

    response: httpx2.Response

    def __aiter__(self) -> AsyncIterator[object]:
        """Yield the bodies of its events."""
        ...


async def bodies(stream: Stream) -> AsyncIterator[object]:
    """Yield the bodies of an answer, one for each event.

    Args:
        stream: Stream that was just opened.

    Yields:
        Body of each event; the only body of an answer that is not streamed.

    Raises:
        ProviderFaultError: The only body is an error.
    """
    kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        # Reason: some servers and proxies ignore `stream`; SDKs find no events in their answers.
        body = json.loads(await stream.response.aread())
        raise_error_in(body)
        yield body
        return
    async for each in stream:
        yield each
