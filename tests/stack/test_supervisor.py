"""Small children under the supervisor: order, death, restart, end."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.ports import choose_ports, is_free
from stack.services import build_services
from tests.stack.harness import PROJECT, eventually, make_plan, revive, script, site, supervised

# Reason: a child's last words before exec are one system call, which needs no other thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def ports() -> tuple[int, int]:
    chosen = choose_ports({}, is_auto=True)
    return chosen.stripe, chosen.mail


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _is_longer(changes: list[dict[str, int]], count: int) -> bool:
    return len(changes) > count


async def test_needs_come_first_and_stop_last(tmp_path: Path, ports: tuple[int, int]) -> None:
    mark = tmp_path / "mark"
    services = [
        site("stripe", ports[0]),
        script("migrate", f"open({str(mark)!r}, 'w')", ("stripe",), is_job=True),
        site("api", ports[1], ("migrate",)),
    ]
    async with supervised(tmp_path / "logs", services) as running:
        await running.supervisor.start()
        assert mark.exists()
        assert set(running.pids) == {"stripe", "api"}
        ready = [line.split()[0] for line in running.said if "is ready" in line]
        assert ready == ["stripe", "migrate", "api"]
        pids = list(running.pids.values())
        await running.supervisor.stop()
        stopping = [line for line in running.said if line.startswith("stopping")]
        assert stopping == ["stopping api", "stopping stripe"]
        assert not any(map(_is_alive, pids))


async def test_a_killed_child_comes_back_on_its_port(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    async with supervised(tmp_path, [site("api", ports[0])]) as running:
        await running.supervisor.start()
        watching = asyncio.create_task(running.supervisor.watch())
        for _ in range(6):
            await revive(running, "api")
        await eventually("an answer", lambda: not is_free(ports[0]))
        assert running.changes[-1] == running.pids
        assert "api died (exit code -9, killed by SIGKILL); starting it again" in running.said
        assert not watching.done()
        watching.cancel()


async def test_a_child_that_dies_by_itself_again_and_again_ends_the_stack(tmp_path: Path) -> None:
    hopeless = script("worker", "print('no such queue'); exit(3)", is_job=False)
    async with supervised(tmp_path, [hopeless]) as running:
        await running.supervisor.start()
        with pytest.raises(StackError, match=r"worker died 5 times in a row \(exit code 3\)") as e:
            await asyncio.wait_for(running.supervisor.watch(), 100)
        assert e.value.log_lines[-1] == "no such queue"


async def test_a_server_that_ends_well_is_broken_too(tmp_path: Path) -> None:
    async with supervised(tmp_path, [script("worker", "", is_job=False)]) as running:
        await running.supervisor.start()
        message = r"worker ended by itself 5 times in a row \(exit code 0\)"
        with pytest.raises(StackError, match=message):
            await asyncio.wait_for(running.supervisor.watch(), 100)
        assert "worker ended by itself (exit code 0); starting it again" in running.said


async def test_a_reload_replaces_what_runs_the_code(tmp_path: Path, ports: tuple[int, int]) -> None:
    api = replace(site("api", ports[0]), is_reloaded=True)
    async with supervised(tmp_path, [site("stripe", ports[1]), api]) as running:
        await running.supervisor.start()
        watching = asyncio.create_task(running.supervisor.watch())
        before = dict(running.pids)
        for _ in range(6):
            count = len(running.changes)
            await running.supervisor.reload()
            await eventually("a new api", partial(_is_longer, running.changes, count))
        await eventually("an answer", lambda: not is_free(ports[0]))
        assert running.pids["stripe"] == before["stripe"]
        assert not any("died" in line or "by itself" in line for line in running.said)
        assert not watching.done()
        watching.cancel()


async def test_broken_code_waits_for_its_next_change(tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    code = f"import os, sys, time; os.path.exists({str(flag)!r}) or sys.exit(3); time.sleep(60)"
    broken = replace(script("worker", code, is_job=False), is_reloaded=True)
    async with supervised(tmp_path / "logs", [broken]) as running:
        await running.supervisor.start()
        watching = asyncio.create_task(running.supervisor.watch())
        message = "worker died (exit code 3) 5 times in a row; waiting for a change of the code"
        await eventually(message, lambda: message in running.said)
        flag.touch()
        old = running.pids["worker"]
        await running.supervisor.reload()
        await eventually("a new worker", lambda: running.pids["worker"] != old)
        await asyncio.sleep(1)
        assert _is_alive(running.pids["worker"])
        assert not watching.done()
        watching.cancel()


def test_no_server_is_ready_before_it_answers(tmp_path: Path) -> None:
    """What is logged depends on the log level, and tells nothing."""
    services = build_services(make_plan(tmp_path))
    assert [each.name for each in services if not each.is_job and each.probe is None] == []


async def test_a_job_that_fails_ends_the_start(tmp_path: Path, ports: tuple[int, int]) -> None:
    failing = script("migrate", "print('no such table'); exit(1)", is_job=True)
    services = [failing, site("api", ports[0], ("migrate",))]
    async with supervised(tmp_path, services) as running:
        with pytest.raises(StackError, match=r"migrate failed \(exit code 1\)") as error:
            await running.supervisor.start()
        assert error.value.log_lines == ("no such table",)
        assert running.pids == {}


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    service = script("worker", "", is_job=False)
    broken = replace(service, command=["/no/such/program"])
    async with supervised(tmp_path, [broken]) as running:
        with pytest.raises(StackError, match="/no/such/program cannot be run: No such file"):
            await running.supervisor.start()


async def test_a_stubborn_child_is_killed(tmp_path: Path, ports: tuple[int, int]) -> None:
    async with supervised(tmp_path, [site("api", ports[0], is_stubborn=True)]) as running:
        await running.supervisor.start()
        pid = running.pids["api"]
        await running.supervisor.stop()
        assert not _is_alive(pid)
        assert "api does not stop: killing it" in running.said


async def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from tests.stack.harness import script, supervised
async def main():
    service = script("worker", "import time; time.sleep(60)", is_job=False)
    async with supervised(Path({str(tmp_path)!r}), [service]) as running:
        await running.supervisor.start()
        await asyncio.sleep(0.2)
        print(running.pids["worker"], flush=True)
        await running.supervisor.watch()
asyncio.run(main())
"""
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=PROJECT, text=True
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        parent.kill()
    await eventually("the child is gone", lambda: not _is_alive(child))
