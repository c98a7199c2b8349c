"""Runs the worker process of Perdure.

Run: `python worker.py [--queue billing --queue stripe]`. Without `--queue` it serves all queues.
"""

import argparse
import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence

import structlog

from adapters.llm.providers import PROVIDERS
from adapters.status_server import serve_status
from adapters.temporal.client import check_namespace
from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.failures import NO_SERVER, Failure, explain
from bootstrap.garbage import spare_lasting_objects
from bootstrap.settings import WrongSettingsError, load_settings
from bootstrap.status_pages import make_worker_pages
from bootstrap.worker_health import make_worker_probes
from bootstrap.workers import run_workers
from config import ServingSettings
from domain.workflow_names import QUEUES
from observability.logging import configure_logging
from observability.metrics import make_metrics_folder
from observability.temporal import free_metrics_port

log = structlog.get_logger(__name__)


async def main(queues: Sequence[str], dead_pid: int | None = None) -> None:
    """Serve task queues until SIGTERM or SIGINT, then let running activities finish.

    Args:
        queues: Task queues to serve.
        dead_pid: Worker process that died and that this one replaces; None if there is none.
    """
    settings = load_settings(ServingSettings)
    configure_logging(settings.log_level)
    make_metrics_folder()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics_port = None if settings.status_port is None else free_metrics_port()
    async with open_sessions(settings) as sessions:
        client = await connect_temporal(settings, metrics_port=metrics_port)
        # Reason: several workers that fail at once cancel each other, and hide why.
        await check_namespace(client)
        async with run_workers(client, settings, sessions, queues, dead_pid=dead_pid) as running:
            pages = make_worker_pages(make_worker_probes(client, sessions, running), metrics_port)
            spare_lasting_objects()
            async with serve_status(settings.status_host, settings.status_port, pages):
                log.info("worker_ready", queues=list(queues))
                await stop.wait()


def _wait_for_turn() -> int | None:
    """Load what is loaded late otherwise, and wait for the line that lets this process serve.

    Returns:
        The pid of the worker that died and that this one replaces; None if there is none.
    """
    settings = load_settings(ServingSettings)
    for module in (PROVIDERS[settings.llm.provider].module, "genai_prices", "psycopg"):
        importlib.import_module(module)
    line = sys.stdin.readline()
    if not line:
        # Reason: whoever started this process is gone.
        os._exit(0)
    return int(line) if line.strip() else None


def _report(error: BaseException) -> int:
    """Print why the worker stops, as a log line once there is a log, and return the exit code."""
    failure = explain(error) if isinstance(error, Exception) else None
    if isinstance(error, WrongSettingsError) and failure is not None:
        sys.stderr.writelines(f"error: {line}\n" for line in failure.lines)
        return failure.exit_code
    if failure is None and isinstance(error, asyncio.CancelledError):
        # Reason: workers that fail at once cancel each other; the SDK has logged why.
        failure = Failure(["the workers failed"], NO_SERVER)
    # Reason: the SDK raises a bare RuntimeError for what the server refuses.
    if failure is None and isinstance(error, RuntimeError):
        failure = Failure([str(error).partition(": Status {")[0]], NO_SERVER)
    if failure is None:
        raise error
    log.error("worker_stopped", reason="; ".join(failure.lines))
    return failure.exit_code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run Perdure's worker.")
    parser.add_argument("--queue", action="append", choices=QUEUES, help="serve only this queue")
    parser.add_argument(
        "--standby",
        action="store_true",
        help="wait, with all modules loaded, for a line on standard input: the pid of the worker"
        " that died and is replaced, or nothing",
    )
    arguments = parser.parse_args()
    code = 0
    try:
        dead_pid = _wait_for_turn() if arguments.standby else None
        asyncio.run(main(arguments.queue or QUEUES, dead_pid))
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - defects are raised again
        code = _report(error)
    sys.stdout.flush()
    sys.stderr.flush()
    # Reason: the SDK sometimes aborts at interpreter exit (sdk-python#300).
    os._exit(code)
