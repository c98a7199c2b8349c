"""Readiness probes over HTTP."""

import asyncio

from stack.ports import HOST
from stack.service import Probe

_PROBE_TIMEOUT_SECONDS = 5.0
_EXCERPT_BYTES = 500


def http_probe(port: int, path: str, expected_text: str = "") -> Probe:
    """Return a probe that passes on status 200 of `path` with `expected_text` in the body."""

    async def probe() -> str | None:
        try:
            status, body = await asyncio.wait_for(_get(port, path), _PROBE_TIMEOUT_SECONDS)
        except (OSError, ValueError, IndexError, TimeoutError) as error:
            return f"no answer on port {port} ({error or type(error).__name__})"
        return (
            None if status == 200 and expected_text in body else f"{path} answered {status}: {body}"
        )

    return probe


async def _get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        status_line = await reader.readline()
        status = int(status_line.split()[1])
        while (await reader.readline()).strip():
            pass
        body = await reader.read(_EXCERPT_BYTES)
        return status, body.decode(errors="replace").strip()
    finally:
        writer.close()
