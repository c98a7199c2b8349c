"""Runs the worker process of Perdure.

Run: `python worker.py [--queue billing --queue stripe]`. Without `--queue` it serves all queues.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from temporalio.client import Client

from adapters.status_server import Page, Pages, serve_status
from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.failures import NO_SERVER, WRONG_INPUT, Failure, explain
from bootstrap.settings import load_settings
from bootstrap.workers import QUEUES, run_workers
from config import ServingSettings
from observability import METRICS_CONTENT_TYPE, configure_logging, render_metrics

log = structlog.get_logger(__name__)


def _pages(client: Client) -> Pages:
    """Return the pages that a worker serves on its port for monitoring."""

    async def health() -> Page:
        return Page(b'{"status":"ok"}')

    async def ready() -> Page:
        if await client.service_client.check_health():
            return Page(b'{"status":"ready"}')
        return Page(b'{"status":"down"}', status=503)

    async def metrics() -> Page:
        return Page(render_metrics(), METRICS_CONTENT_TYPE)

    return {"/health": health, "/health/ready": ready, "/metrics": metrics}


async def main(queues: Sequence[str]) -> None:
    """Serve task queues until SIGTERM or SIGINT, then let running activities finish."""
    settings = load_settings(ServingSettings)
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_sessions(settings) as sessions:
        client = await connect_temporal(settings)
        async with run_workers(client, settings, sessions, queues):
            log.info("worker_ready", queues=list(queues))
            async with serve_status(settings.status_host, settings.status_port, _pages(client)):
                await stop.wait()


def _report(failure: Failure) -> int:
    """Print why the worker stops, as a log line once there is a log, and return the exit code."""
    if failure.exit_code == WRONG_INPUT:
        sys.stderr.writelines(f"error: {line}\n" for line in failure.lines)
    else:
        log.error("worker_stopped", reason="; ".join(failure.lines))
    return failure.exit_code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run Perdure's worker.")
    parser.add_argument("--queue", action="append", choices=QUEUES, help="serve only this queue")
    arguments = parser.parse_args()
    code = 0
    try:
        asyncio.run(main(arguments.queue or QUEUES))
    except Exception as error:
        failure = explain(error)
        # Reason: the SDK raises a bare RuntimeError for what the server refuses, as a namespace.
        if failure is None and isinstance(error, RuntimeError):
            failure = Failure([str(error).partition(": Status {")[0]], NO_SERVER)
        if failure is None:
            raise
        code = _report(failure)
    sys.stdout.flush()
    sys.stderr.flush()
    # Reason: the SDK sometimes aborts at interpreter exit (sdk-python#300).
    os._exit(code)
