"""A second process of a service waits, and takes over when the first one dies."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from stack import standby
from stack.ports import choose_ports
from tests.stack.harness import Running, eventually, revive, site_with_standby, supervised

# Reason: a child's last words before exec are one system call, which needs no other thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "_PAUSE_SECONDS", 0.1)


def _waiting(folder: Path, running: Running) -> set[int]:
    """Return the processes that wait for their turn."""
    marks = {int(path.name.partition("-")[2]) for path in folder.glob("waiting-*")}
    served = {int(path.name.partition("-")[2]) for path in folder.glob("serving-*")}
    return {pid for pid in marks - served if Path(f"/proc/{pid}").exists()} - {
        *running.pids.values()
    }


def _is_told(marks: Path, pid: int, old: int) -> bool:
    """Return whether a process has learned that it replaces another one."""
    mark = marks / f"serving-{pid}"
    return mark.exists() and mark.read_text() == f"{old}\n"


async def test_the_waiting_process_takes_over_and_learns_whom_it_replaces(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    service = site_with_standby("worker", choose_ports({}, is_auto=True).worker, marks)
    async with supervised(tmp_path / "stack", [service]) as running:
        await running.supervisor.start()
        first = running.pids["worker"]
        assert (marks / f"serving-{first}").read_text() == "\n"
        for _ in range(2):
            await eventually("a standby", lambda: len(_waiting(marks, running)) == 1)
            (waiting,) = _waiting(marks, running)
            old = running.pids["worker"]
            await revive(running, "worker")
            assert running.pids["worker"] == waiting
            await eventually("told", partial(_is_told, marks, waiting, old))


async def test_without_a_living_standby_a_new_process_starts(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    service = site_with_standby("worker", choose_ports({}, is_auto=True).worker, marks)
    async with supervised(tmp_path / "stack", [service]) as running:
        await running.supervisor.start()
        await eventually("a standby", lambda: len(_waiting(marks, running)) == 1)
        (waiting,) = _waiting(marks, running)
        os.kill(waiting, signal.SIGKILL)
        await asyncio.sleep(0.2)
        old = running.pids["worker"]
        await revive(running, "worker")
        assert running.pids["worker"] not in {waiting, old}
        await eventually("told", partial(_is_told, marks, running.pids["worker"], old))


async def test_the_end_of_the_stack_is_the_end_of_the_standby(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    service = site_with_standby("worker", choose_ports({}, is_auto=True).worker, marks)
    async with supervised(tmp_path / "stack", [service]) as running:
        await running.supervisor.start()
        await eventually("a standby", lambda: len(_waiting(marks, running)) == 1)
        (waiting,) = _waiting(marks, running)
        await running.supervisor.stop()
        assert not Path(f"/proc/{waiting}").exists()
