"""Does the other side answer? One small question to each, all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import NamedTuple

import httpx

from domain.errors import ApplicationError

Probe = Callable[[], Awaitable[object]]

TIMEOUT_SECONDS = 2.0


class Finding(NamedTuple):
    """How one dependency answered."""

    is_up: bool
    latency_ms: float
    detail: str | None = None


async def run_probes(
    probes: Mapping[str, Probe],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Finding]:
    """Ask all at once.

    Args:
        probes: By name, what returns if the other side answers, and raises if not.
        timeout_seconds: How long each may take.

    Returns:
        The findings, by name.
    """
    findings = await asyncio.gather(*[_ask(probe, timeout_seconds) for probe in probes.values()])
    return dict(zip(probes, findings, strict=True))


async def _ask(probe: Probe, timeout_seconds: float) -> Finding:
    started = monotonic()
    detail = None
    try:
        async with asyncio.timeout(timeout_seconds):
            await probe()
    except TimeoutError:
        detail = f"no answer within {timeout_seconds:g} s"
    except ApplicationError as error:
        detail = error.error_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        # Reason: only the kind, because messages quote addresses and this page is open to all.
        detail = type(error).__name__
    return Finding(detail is None, round((monotonic() - started) * 1_000, 1), detail)


async def ping_chroma(url: str) -> None:
    """Ask a Chroma server for its heartbeat."""
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        reply = await client.get(f"{url.rstrip('/')}/api/v2/heartbeat")
        reply.raise_for_status()


async def ping_smtp(host: str, port: int, *, is_tls: bool = False) -> None:
    """Wait for an SMTP server's greeting, and leave.

    Args:
        host: Where it is.
        port: On which port.
        is_tls: Whether it speaks TLS from the first byte on.

    Raises:
        ConnectionError: Something else listens there.
    """
    reader, writer = await asyncio.open_connection(host, port, ssl=is_tls or None)
    try:
        greeting = await reader.readline()
        if not greeting.startswith(b"220"):
            raise ConnectionError("no SMTP greeting")
        writer.write(b"QUIT\r\n")
        await writer.drain()
    finally:
        writer.close()
