"""A second process of a service waits, and takes over when the first one dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from stack import standby
from stack.ports import choose_ports
from tests.stack.harness import Running, eventually, revive, site_with_standby, supervised

# Reason: a child's last words before exec are one system call, which needs no other thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@dataclass(frozen=True)
class Pair:
    """A running service with its standby, and the folder of their marks."""

    running: Running
    marks: Path

    @property
    def serving(self) -> int:
        """The process that serves."""
        return self.running.pids["worker"]

    def waiting(self) -> set[int]:
        """Return the living processes that wait for their turn."""
        waited, served = self._marked("waiting"), self._marked("serving")
        living = {pid for pid in waited - served if Path(f"/proc/{pid}").exists()}
        return living - {self.serving}

    def is_told(self, pid: int, replaced: int) -> bool:
        """Return whether a process has learned that it replaces another one."""
        mark = self.marks / f"serving-{pid}"
        return mark.exists() and mark.read_text() == f"{replaced}\n"

    async def one_waiting(self) -> int:
        """Wait for the standby, and return it."""
        await eventually("a standby", lambda: len(self.waiting()) == 1)
        (pid,) = self.waiting()
        return pid

    def _marked(self, name: str) -> set[int]:
        return {int(path.name.partition("-")[2]) for path in self.marks.glob(f"{name}-*")}


@asynccontextmanager
async def started(folder: Path, *, start_seconds: float = 0) -> AsyncIterator[Pair]:
    """Start a service that needs some seconds from its turn until it is ready."""
    marks = folder / "marks"
    marks.mkdir()
    port = choose_ports({}, is_auto=True).worker
    service = site_with_standby("worker", port, marks, start_seconds=start_seconds)
    async with supervised(folder / "stack", [service]) as running:
        await running.supervisor.start()
        yield Pair(running, marks)


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "PAUSE_SECONDS", 0.1)


async def test_the_waiting_process_takes_over_and_learns_whom_it_replaces(tmp_path: Path) -> None:
    async with started(tmp_path) as pair:
        assert (pair.marks / f"serving-{pair.serving}").read_text() == "\n"
        for _ in range(2):
            waiting, old = await pair.one_waiting(), pair.serving
            await revive(pair.running, "worker")
            assert pair.serving == waiting
            await eventually("told", partial(pair.is_told, waiting, old))


async def test_without_a_living_standby_a_new_process_starts(tmp_path: Path) -> None:
    async with started(tmp_path) as pair:
        waiting, old = await pair.one_waiting(), pair.serving
        os.kill(waiting, signal.SIGKILL)
        await asyncio.sleep(0.2)
        await revive(pair.running, "worker")
        assert pair.serving not in {waiting, old}
        await eventually("told", partial(pair.is_told, pair.serving, old))


async def test_a_death_before_the_standby_is_there_leaves_one_standby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "PAUSE_SECONDS", 0.5)
    async with started(tmp_path, start_seconds=1.5) as pair:
        await revive(pair.running, "worker")
        waiting = await pair.one_waiting()
        # Reason: the process that serves becomes ready meanwhile, and the pause passes once more.
        await asyncio.sleep(3.0)
        assert pair.waiting() == {waiting}


async def test_the_end_of_the_stack_is_the_end_of_the_standby(tmp_path: Path) -> None:
    async with started(tmp_path) as pair:
        waiting = await pair.one_waiting()
        await pair.running.supervisor.stop()
        assert not Path(f"/proc/{waiting}").exists()
