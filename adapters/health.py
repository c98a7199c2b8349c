"""Does the other side answer? One small question to each, all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import NamedTuple

import httpx

from adapters.tls import trusted
from domain.errors import ApplicationError, ProviderRejectedError

Probe = Callable[[], Awaitable[object]]

TIMEOUT_SECONDS = 2.0
MODELS_ARE_WELL_SECONDS = 30.0
_OPENAI_URL = "https://api.openai.com/v1"
_ANTHROPIC_URL = "https://api.anthropic.com"
_ANTHROPIC_VERSION = "2023-06-01"
_SANDBOX_KEY = "sandbox"


class HealthResult(NamedTuple):
    """How one dependency answered."""

    is_up: bool
    latency_ms: float
    detail: str | None = None


async def run_probes(
    probes: Mapping[str, Probe],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, HealthResult]:
    """Ask all at once.

    Args:
        probes: By name, what returns if the other side answers, and raises if not.
        timeout_seconds: How long each may take.

    Returns:
        The findings, by name.
    """
    findings = await asyncio.gather(*[_ask(probe, timeout_seconds) for probe in probes.values()])
    return dict(zip(probes, findings, strict=True))


async def _ask(probe: Probe, timeout_seconds: float) -> HealthResult:
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
    return HealthResult(detail is None, round((monotonic() - started) * 1_000, 1), detail)


async def ping_chroma(url: str) -> None:
    """Ask a Chroma server for its heartbeat."""
    async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
        reply = await client.get(f"{url.rstrip('/')}/api/v2/heartbeat")
        reply.raise_for_status()


class ModelsHealth:
    """Whether the provider of models answers and takes our key; asks for no model's work.

    Args:
        provider: `openai`, or whatever speaks like it, or `anthropic`.
        base_url: None means the provider itself.
        api_key: Its key; with the stand-in's own key a good answer is not kept.
    """

    def __init__(self, provider: str, base_url: str | None, api_key: str) -> None:
        self._kept_seconds = 0.0 if api_key == _SANDBOX_KEY else MODELS_ARE_WELL_SECONDS
        self._well_until = 0.0
        if provider == "anthropic":
            # Reason: one setting serves both providers, so its address may end in `/v1`.
            base = (base_url or _ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
            self.url = f"{base}/v1/models"
            self._headers = {"x-api-key": api_key, "anthropic-version": _ANTHROPIC_VERSION}
        else:
            self.url = f"{(base_url or _OPENAI_URL).rstrip('/')}/models"
            self._headers = {"Authorization": f"Bearer {api_key}"}

    async def ping(self) -> None:
        """Ask for the list of models, unless it was well a short while ago.

        Raises:
            ProviderRejectedError: It refuses our key (`model_credentials`).
            httpx.HTTPError: It does not answer, or not as a provider would.
        """
        if monotonic() < self._well_until:
            return
        async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
            reply = await client.get(self.url, headers=self._headers)
        if reply.status_code in {401, 403}:
            raise ProviderRejectedError("the models' provider refuses the key", "model_credentials")
        # Reason: who has too many requests is there.
        if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
            reply.raise_for_status()
        self._well_until = monotonic() + self._kept_seconds


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
