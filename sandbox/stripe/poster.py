"""Posting over kept connections, with as little work for each message as there can be."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Poster:
    """Posts to one address; a connection whose answer has a known length is used again."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http address: {url}")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_tls else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._head = f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._idle: list[_Connection] = []

    async def post(self, payload: bytes, headers: Mapping[str, str]) -> int:
        """Send one message.

        Args:
            payload: The body.
            headers: Beside Host and Content-Length.

        Returns:
            The answer's status.

        Raises:
            OSError: If there is no answer, in time, that makes sense.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self._head}{lines}Content-Length: {len(payload)}\r\n\r\n"
        message = head.encode() + payload
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while self._idle:
                try:
                    return await self._exchange(self._idle.pop(), message)
                except (OSError, EOFError):
                    continue  # Reason: the other side may close what was idle at any time.
            try:
                return await self._exchange(await self._connect(), message)
            except EOFError as error:
                raise ConnectionError("connection closed without an answer") from error

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    async def _connect(self) -> _Connection:
        context = ssl.create_default_context() if self._is_tls else None
        return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=context))

    async def _exchange(self, connection: _Connection, message: bytes) -> int:
        is_kept = False
        try:
            connection.writer.write(message)
            await connection.writer.drain()
            head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, length, is_kept = _understand(head)
            await connection.reader.readexactly(length)
        except (asyncio.LimitOverrunError, ValueError, IndexError) as error:
            is_kept = False
            raise ConnectionError("the answer is no HTTP") from error
        except BaseException:
            is_kept = False
            raise
        finally:
            if is_kept:
                self._idle.append(connection)
            else:
                connection.writer.close()
        return status


def _understand(head: str) -> tuple[int, int, bool]:
    """Return an answer's status, how much follows, and whether the connection can be kept."""
    first, *lines = head.split("\r\n")
    status = int(first.split(" ")[1])
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    length = fields.get("content-length", "0" if status == 204 else None)
    is_kept = length is not None and fields.get("connection", "").lower() != "close"
    return status, int(length or 0), is_kept
