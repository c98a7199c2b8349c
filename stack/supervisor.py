"""One supervisor for all services: starts them by need, keeps them, stops them in order."""

import asyncio
import time
from collections.abc import Callable, Sequence

from stack.errors import StackError
from stack.logs import LogRouter
from stack.service import Service
from stack.service_runner import Say, ServiceRunner

_START_TIMEOUT_SECONDS = 120.0
_REMINDER_SECONDS = 5.0


class Supervisor:
    """Holds one keeper a service."""

    def __init__(
        self, services: Sequence[Service], logs: LogRouter, say: Say, on_change: Callable[[], None]
    ) -> None:
        """Take the services, in the order of need.

        Args:
            services: What to run.
            logs: Where their lines go.
            say: Where our own lines go.
            on_change: Called whenever a service has a new pid.
        """
        self.pids: dict[str, int] = {}
        self._logs = logs
        self._say = say
        self._on_change = on_change
        self._keepers = {
            service.name: ServiceRunner(service, logs, say, self._note_pid) for service in services
        }
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def start(self) -> None:
        """Start all services, in parallel where their needs allow it, and wait for them.

        Raises:
            StackError: One of them failed, or was not ready in time.
        """
        started_at = time.monotonic()
        for keeper in self._keepers.values():
            if keeper.service.check is not None:
                await keeper.service.check()
        for name, keeper in self._keepers.items():
            needs = [
                self._keepers[need].ready for need in keeper.service.needs if need in self._keepers
            ]
            self._tasks[asyncio.create_task(keeper.keep(needs))] = name
        reporting = asyncio.create_task(self._report_progress(started_at))
        try:
            async with asyncio.timeout(_START_TIMEOUT_SECONDS):
                await self._first_of(reporting)
        except TimeoutError:
            late = next(name for name, keeper in self._keepers.items() if not keeper.ready.is_set())
            raise StackError(
                f"{late} was not ready within {_START_TIMEOUT_SECONDS:.0f} s:"
                f" {self._keepers[late].reason}",
                self._logs.tail(late),
            ) from None
        finally:
            reporting.cancel()

    async def watch(self) -> None:
        """Keep all services alive for ever.

        Raises:
            StackError: One of them cannot be kept alive.
        """
        await self._first_of(asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """Stop all services, the last started first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name, keeper in reversed(self._keepers.items()):
            await keeper.stop()
            self.pids.pop(name, None)

    async def _first_of(self, goal: "asyncio.Future[None]") -> None:
        # Reason: a job's task ends well long before the others, which never do.
        while not goal.done():
            running = [task for task in self._tasks if not task.done()]
            done, _ = await asyncio.wait({goal, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _report_progress(self, started_at: float) -> None:
        waiting = dict(self._keepers)
        while waiting:
            events = {asyncio.create_task(k.ready.wait()): name for name, k in waiting.items()}
            done, pending = await asyncio.wait(
                events, timeout=_REMINDER_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
            for task in done:
                del waiting[events[task]]
                self._say(f"{events[task]} is ready after {time.monotonic() - started_at:.1f} s")
            if waiting and not done:
                for name, keeper in waiting.items():
                    self._say(f"still waiting for {name}: {keeper.reason}")
            elif waiting:
                self._say(f"waiting for {', '.join(waiting)}")

    def _note_pid(self, name: str, pid: int) -> None:
        if not self._keepers[name].service.is_job:
            self.pids[name] = pid
            self._on_change()
