"""A reduced stack: real PostgreSQL, real Temporal, and small HTTP servers."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from stack.addresses import find_addresses
from stack.data_dir import DataDir
from stack.logs import LogRouter, Terminal
from stack.ports import choose_ports
from stack.probes import http_probe
from stack.service import Service
from stack.services import Plan, build_services
from stack.supervisor import Supervisor

PROJECT = Path(__file__).parents[2]

_STUBBORN = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
address = ("127.0.0.1", int(sys.argv[1]))
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def make_plan(folder: Path) -> Plan:
    """Return a plan with free ports, in an open data folder."""
    data = DataDir(folder)
    data.open()
    ports, secrets = choose_ports({}, is_auto=True), data.secrets()
    return Plan(PROJECT, data, {}, ports, secrets, find_addresses({}, ports, secrets))


def servers(plan: Plan, *names: str) -> list[Service]:
    """Return some of the stack's own services."""
    return [service for service in build_services(plan) if service.name in names]


def site(
    name: str, port: int, needs: tuple[str, ...] = (), *, is_stubborn: bool = False
) -> Service:
    """Return a small HTTP server as a service; a stubborn one does not heed SIGTERM."""
    listen = ["-m", "http.server", "--bind", "127.0.0.1", str(port)]
    program = ["-c", _STUBBORN, str(port)] if is_stubborn else listen
    return Service(
        name=name,
        command=[sys.executable, *program],
        environment=os.environ,
        working_folder="/",
        ports={name: port},
        needs=needs,
        probe=http_probe(port, "/"),
        stop_timeout_seconds=0.5,
    )


def script(name: str, code: str, needs: tuple[str, ...] = (), *, is_job: bool) -> Service:
    """Return a line of Python as a service."""
    return Service(
        name=name,
        command=[sys.executable, "-c", code],
        environment=os.environ,
        working_folder="/",
        needs=needs,
        is_job=is_job,
    )


class Running:
    """A supervisor, and what it said."""

    def __init__(self, services: Sequence[Service], logs: LogRouter) -> None:
        self.said: list[str] = []
        self.changes: list[dict[str, int]] = []
        self.supervisor = Supervisor(
            services, logs, self.said.append, lambda: self.changes.append(dict(self.pids))
        )

    @property
    def pids(self) -> dict[str, int]:
        """The children as they are now."""
        return self.supervisor.pids


@asynccontextmanager
async def supervised(folder: Path, services: Sequence[Service]) -> AsyncIterator[Running]:
    """Make a supervisor, not yet started, and stop it at the end."""
    terminal = Terminal()
    folder.mkdir(exist_ok=True)
    logs = LogRouter(folder, terminal)
    running = Running([replace(service, is_quiet=True) for service in services], logs)
    try:
        yield running
    finally:
        await running.supervisor.stop()
        await logs.close()
        terminal.close()


async def eventually(what: str, is_so: Callable[[], bool], timeout_seconds: float = 100.0) -> None:
    """Wait until something is so, or fail with what it was."""
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {timeout_seconds} s: {what}"
        await asyncio.sleep(0.02)


async def revive(running: Running, name: str) -> None:
    """Kill a child with SIGKILL, and wait for its successor."""
    old = running.pids[name]
    os.kill(old, signal.SIGKILL)
    await eventually(f"a new pid of {name}", lambda: running.pids[name] != old)


_PATIENT = """
import http.server, pathlib, os, sys, time
pathlib.Path(sys.argv[2], f"waiting-{os.getpid()}").touch()
line = sys.stdin.readline()
pathlib.Path(sys.argv[2], f"serving-{os.getpid()}").write_text(line)
time.sleep(float(sys.argv[3]))
address = ("127.0.0.1", int(sys.argv[1]))
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def site_with_standby(name: str, port: int, folder: Path, *, start_seconds: float = 0) -> Service:
    """Return a small HTTP server with a standby; its processes leave marks in a folder."""
    return Service(
        name=name,
        command=[sys.executable, "-c", _PATIENT, str(port), str(folder), str(start_seconds)],
        environment=os.environ,
        working_folder="/",
        ports={name: port},
        probe=http_probe(port, "/"),
        has_standby=True,
    )
