"""Makes the health and metrics pages of a worker process."""

from collections.abc import Mapping

import httpx
import orjson
import structlog

from adapters.health import Probe, run_probes
from adapters.status_server import Page, Pages
from adapters.tls import trusted
from observability.metrics import METRICS_CONTENT_TYPE, render_metrics
from observability.temporal import LOOPBACK

TIMEOUT_SECONDS = 2.0

log = structlog.get_logger(__name__)


def make_worker_pages(probes: Mapping[str, Probe], sdk_metrics_port: int | None) -> Pages:
    """Make the pages that a worker serves on its status port.

    Args:
        probes: Health probes of the worker, by name; all of them have to succeed.
        sdk_metrics_port: Loopback port on which Temporal's SDK serves its metrics.

    Returns:
        The pages by path: `/health/live` answers while the event loop runs, `/health/ready` says
        whether the worker works, and `/metrics` has our metrics and those of the SDK.
    """

    async def live() -> Page:
        return Page(b'{"status":"ok"}')

    async def ready() -> Page:
        results = await run_probes(probes)
        checks = {
            name: {
                "status": "ok" if result.is_up else "down",
                "latency_ms": result.latency_ms,
                "detail": result.detail,
            }
            for name, result in results.items()
        }
        is_ready = all(result.is_up for result in results.values())
        body = orjson.dumps({"status": "ready" if is_ready else "down", "checks": checks})
        return Page(body, status=200 if is_ready else 503)

    async def metrics() -> Page:
        sdk_metrics = await _read_sdk_metrics(sdk_metrics_port)
        return Page(render_metrics() + sdk_metrics, METRICS_CONTENT_TYPE)

    return {"/health": live, "/health/live": live, "/health/ready": ready, "/metrics": metrics}


async def _read_sdk_metrics(port: int | None) -> bytes:
    if port is None:
        return b""
    try:
        async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
            reply = await client.get(f"http://{LOOPBACK}:{port}/metrics")
            reply.raise_for_status()
    except httpx.HTTPError as error:
        # Reason: our own metrics are served all the same.
        log.warning("sdk_metrics_not_read", error=type(error).__name__)
        return b""
    return reply.content
