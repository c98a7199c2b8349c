"""Health probes of outside systems, run concurrently."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import NamedTuple

import httpx

from adapters.llm.providers import PROVIDERS
from adapters.tls import trusted
from domain.errors import ApplicationError, ProviderRejectedError

Probe = Callable[[], Awaitable[object]]

TIMEOUT_SECONDS = 2.0
MODELS_HEALTHY_SECONDS = 30.0
_SANDBOX_KEY = "sandbox"


class HealthResult(NamedTuple):
    """Result of one health probe."""

    is_up: bool
    latency_ms: float
    detail: str | None = None


async def run_probes(
    probes: Mapping[str, Probe],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, HealthResult]:
    """Run all probes concurrently.

    Args:
        probes: Probes by name; a probe returns if the system answers, and raises if not.
        timeout_seconds: Time limit of each probe.

    Returns:
        Results by name.
    """
    results = await asyncio.gather(
        *[_run_probe(probe, timeout_seconds) for probe in probes.values()]
    )
    return dict(zip(probes, results, strict=True))


async def _run_probe(probe: Probe, timeout_seconds: float) -> HealthResult:
    started = monotonic()
    detail = None
    try:
        async with asyncio.timeout(timeout_seconds):
            await probe()
    except TimeoutError:
        detail = f"no answer within {timeout_seconds:g} s"
    except ApplicationError as error:
        detail = error.error_code
    except Exception as error:  # noqa: BLE001 - any error is the result of the probe
        # Reason: only the type, because messages contain addresses and this page is public.
        detail = type(error).__name__
    return HealthResult(detail is None, round((monotonic() - started) * 1_000, 1), detail)


async def ping_chroma(url: str) -> None:
    """Read the heartbeat of a Chroma server."""
    async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
        reply = await client.get(f"{url.rstrip('/')}/api/v2/heartbeat")
        reply.raise_for_status()


class ModelsHealth:
    """Checks that the models' provider answers and accepts our key, without calling a model.

    Args:
        provider: Name in `PROVIDERS`.
        base_url: Address of the provider; None means the provider's own API.
        api_key: Key of the provider; with the sandbox's key a good answer is not cached.
    """

    def __init__(self, provider: str, base_url: str | None, api_key: str) -> None:
        self._cache_seconds = 0.0 if api_key == _SANDBOX_KEY else MODELS_HEALTHY_SECONDS
        self._healthy_until = 0.0
        found = PROVIDERS[provider]
        self.url, self._headers = found.health_request(base_url or found.url, api_key)

    async def ping(self) -> None:
        """Send the provider's health request, unless a recent answer was good.

        Raises:
            ProviderRejectedError: The provider refuses our key (`model_credentials`).
            httpx.HTTPError: The provider does not answer, or answers with an error.
        """
        if monotonic() < self._healthy_until:
            return
        async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
            reply = await client.get(self.url, headers=self._headers)
        if reply.status_code in {401, 403}:
            raise ProviderRejectedError("the models' provider refuses the key", "model_credentials")
        # Reason: a provider that limits the rate of requests can be reached.
        if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
            reply.raise_for_status()
        self._healthy_until = monotonic() + self._cache_seconds


async def ping_smtp(host: str, port: int, *, is_tls: bool = False) -> None:
    """Read the greeting of an SMTP server, and disconnect.

    Args:
        host: Host of the server.
        port: Port of the server.
        is_tls: Whether the connection uses TLS from the first byte on.

    Raises:
        ConnectionError: The port does not answer with an SMTP greeting.
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
