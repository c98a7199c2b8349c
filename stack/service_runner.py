"""Runs one service and restarts it whenever it dies."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable

from stack.errors import StackError
from stack.logs import LogRouter
from stack.process import describe_exit
from stack.service import Service
from stack.standby import Standby

_PROBE_INTERVAL_SECONDS = 0.1
_SHORT_RUN_SECONDS = 10.0
_MAX_CRASHES = 5
_LONGEST_DELAY_SECONDS = 1.0

Say = Callable[[str], None]


class ServiceRunner:
    """Starts a service once the services that it needs are ready; restarts it whenever it dies."""

    def __init__(
        self, service: Service, logs: LogRouter, say: Say, on_spawn: Callable[[str, int], None]
    ) -> None:
        self.service = service
        self.ready = asyncio.Event()
        self.reason = "not started yet"
        self._logs = logs
        self._say = say
        self._on_spawn = on_spawn
        self._code_changed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._standby = Standby(service, logs)

    async def keep(self, needs: Iterable[asyncio.Event]) -> None:
        """Run the service for ever, or a job once.

        Args:
            needs: Events that must be set before the service starts.

        Raises:
            StackError: The service cannot be started, or dies by itself several times in a row.
        """
        for need in needs:
            await need.wait()
        short_runs = crashes = 0
        while True:
            started_at = time.monotonic()
            self._code_changed.clear()
            exit_code = await self._run_once()
            if self._code_changed.is_set():
                short_runs = crashes = 0
                continue
            if self.service.is_job:
                if exit_code != 0:
                    raise self._failure("failed", exit_code)
                self.ready.set()
                return
            is_short = time.monotonic() - started_at < _SHORT_RUN_SECONDS
            short_runs = short_runs + 1 if is_short else 0
            # Reason: SIGKILL comes from outside and says nothing about the service.
            crashes = crashes + (exit_code != -signal.SIGKILL) if is_short else 0
            # Reason: a server that ends by itself is broken, whatever its exit code says.
            verb = "died" if exit_code else "ended by itself"
            if crashes >= _MAX_CRASHES and not self.service.is_reloaded:
                raise self._failure(f"{verb} {crashes} times in a row", exit_code)
            problem = f"{self.service.name} {verb} ({describe_exit(exit_code)})"
            if crashes >= _MAX_CRASHES:
                self._say(f"{problem} {crashes} times in a row; waiting for a change of the code")
                await self._code_changed.wait()
                short_runs = crashes = 0
                continue
            self._say(f"{problem}; starting it again")
            await asyncio.sleep(min(0.1 * short_runs, _LONGEST_DELAY_SECONDS))

    async def restart(self) -> None:
        """Stop the service; `keep` then starts it again with the changed code."""
        self._code_changed.set()
        await self.stop()

    async def stop(self) -> None:
        """Stop the service: by its stop signal first, by SIGKILL if that takes too long."""
        await self._standby.stop()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._say(f"stopping {self.service.name}")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.service.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.service.stop_timeout_seconds)
        except TimeoutError:
            self._say(f"{self.service.name} does not stop: killing it")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        if self.service.prepare is not None:
            self.reason = "being prepared"
            await self.service.prepare()
        replaced_pid = None if self._process is None else self._process.pid
        process = self._process = await self._standby.start(replaced_pid)
        self._on_spawn(self.service.name, process.pid)
        probing = asyncio.create_task(self._wait_until_ready())
        exiting = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({probing, exiting}, return_when=asyncio.FIRST_COMPLETED)
            if probing.done():
                probing.result()
                self._standby.prepare()
            exit_code = await exiting
        finally:
            probing.cancel()
            exiting.cancel()
        if self.service.on_exit is not None:
            self.service.on_exit(process.pid)
        return exit_code

    async def _wait_until_ready(self) -> None:
        if self.service.is_job:
            self.reason = "still running"
            return
        while self.service.probe is not None:
            reason = await self.service.probe()
            if reason is None:
                break
            self.reason = reason
            await asyncio.sleep(_PROBE_INTERVAL_SECONDS)
        self.ready.set()

    def _failure(self, problem: str, exit_code: int) -> StackError:
        message = f"{self.service.name} {problem} ({describe_exit(exit_code)})"
        return StackError(message, self._logs.tail(self.service.name))
