"""Starts all services by need, keeps them running, and stops them in reverse order."""

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
    """Supervises all services, with one `ServiceRunner` for each."""

    def __init__(
        self, services: Sequence[Service], logs: LogRouter, say: Say, on_change: Callable[[], None]
    ) -> None:
        """Make a runner for each service.

        Args:
            services: Services to run, each after those that it needs.
            logs: Logs of the services.
            say: Prints a line of the supervisor itself.
            on_change: Called whenever a service has a new pid.
        """
        self.pids: dict[str, int] = {}
        self._logs = logs
        self._say = say
        self._on_change = on_change
        self._runners = {
            service.name: ServiceRunner(service, logs, say, self._note_pid) for service in services
        }
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def start(self) -> None:
        """Start all services, in parallel where possible, and wait until all are ready.

        Raises:
            StackError: A service failed, or was not ready in time.
        """
        started_at = time.monotonic()
        for runner in self._runners.values():
            if runner.service.check is not None:
                await runner.service.check()
        for name, runner in self._runners.items():
            needs = [
                self._runners[need].ready for need in runner.service.needs if need in self._runners
            ]
            self._tasks[asyncio.create_task(runner.keep(needs))] = name
        reporting = asyncio.create_task(self._report_progress(started_at))
        try:
            async with asyncio.timeout(_START_TIMEOUT_SECONDS):
                await self._wait_for(reporting)
        except TimeoutError:
            late_name = next(
                name for name, runner in self._runners.items() if not runner.ready.is_set()
            )
            raise StackError(
                f"{late_name} was not ready within {_START_TIMEOUT_SECONDS:.0f} s:"
                f" {self._runners[late_name].reason}",
                self._logs.tail(late_name),
            ) from None
        finally:
            reporting.cancel()

    async def watch(self) -> None:
        """Keep all services running for ever.

        Raises:
            StackError: A service cannot be kept running.
        """
        await self._wait_for(asyncio.get_running_loop().create_future())

    async def reload(self) -> None:
        """Start the services again that run the product's code."""
        runners = [runner for runner in self._runners.values() if runner.service.is_reloaded]
        await asyncio.gather(*(runner.restart() for runner in runners))

    async def stop(self) -> None:
        """Stop all services, in reverse order."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name, runner in reversed(self._runners.items()):
            await runner.stop()
            self.pids.pop(name, None)

    async def _wait_for(self, goal: "asyncio.Future[None]") -> None:
        # Reason: the task of a job ends early and without error; the tasks of servers never end.
        while not goal.done():
            running = [task for task in self._tasks if not task.done()]
            done, _ = await asyncio.wait({goal, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _report_progress(self, started_at: float) -> None:
        waiting = dict(self._runners)
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
                for name, runner in waiting.items():
                    self._say(f"still waiting for {name}: {runner.reason}")
            elif waiting:
                self._say(f"waiting for {', '.join(waiting)}")

    def _note_pid(self, name: str, pid: int) -> None:
        if not self._runners[name].service.is_job:
            self.pids[name] = pid
            self._on_change()
