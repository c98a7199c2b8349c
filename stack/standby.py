"""Keeps a second process of a service waiting, which takes over when the first one dies."""

import asyncio
import contextlib

from stack.errors import StackError
from stack.logs import LogRouter
from stack.process import spawn
from stack.service import Service

# Reason: a new process loads its modules for seconds, and the one that took over needs the time.
PAUSE_SECONDS = 5.0


class Standby:
    """Starts the processes of a service; one that has loaded its modules may wait beside it.

    Args:
        service: Service to start. If it has a standby, each of its processes waits for one line on
            its standard input, the pid of the process that it replaces, before it serves.
        logs: Logs of the services.
    """

    def __init__(self, service: Service, logs: LogRouter) -> None:
        self._service = service
        self._logs = logs
        self._waiting: asyncio.subprocess.Process | None = None
        self._preparing: asyncio.Task[None] | None = None

    async def start(self, replaced_pid: int | None) -> asyncio.subprocess.Process:
        """Let the waiting process serve, or a new one if none waits.

        Args:
            replaced_pid: Process of the service that has died; None if there was none.

        Raises:
            StackError: The program cannot be run.
        """
        process = self._take() or await self._spawn()
        if process.stdin is not None:
            # Reason: if the process dies meanwhile, the caller sees that by its exit.
            with contextlib.suppress(ConnectionError):
                process.stdin.write(f"{replaced_pid or ''}\n".encode())
                await process.stdin.drain()
        return process

    def prepare(self) -> None:
        """Start a process that waits, once the one that serves had time to become ready."""
        is_there = self._waiting is not None and self._waiting.returncode is None
        if self._service.has_standby and self._preparing is None and not is_there:
            self._preparing = asyncio.create_task(self._prepare())

    async def stop(self) -> None:
        """Kill the waiting process, which has nothing to finish."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])
        process = self._take()
        if process is not None:
            process.kill()
            await process.wait()

    def _take(self) -> asyncio.subprocess.Process | None:
        process, self._waiting = self._waiting, None
        return process if process is not None and process.returncode is None else None

    async def _prepare(self) -> None:
        try:
            await asyncio.sleep(PAUSE_SECONDS)
            # Reason: without a standby the next start is a slow one, and reports what is wrong.
            with contextlib.suppress(StackError):
                self._waiting = await self._spawn()
        finally:
            self._preparing = None

    async def _spawn(self) -> asyncio.subprocess.Process:
        output = await self._logs.pen(self._service.name, is_quiet=self._service.is_quiet)
        return await spawn(self._service, output)
