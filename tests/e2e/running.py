"""A whole stack as a child process, and ways to hurt its parts."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

PROJECT = Path(__file__).parents[2]
START_SECONDS = 120
STOP_SECONDS = 100
PATIENCE_SECONDS = 120
ADDRESSES = (
    "api",
    "temporal",
    "temporal_ui",
    "database_url",
    "chroma",
    "stripe",
    "llm",
    "mail",
    "metrics",
    "worker",
)

Found = TypeVar("Found")


def wait_for(
    what: str, look: Callable[[], Found | None], seconds: float = PATIENCE_SECONDS
) -> Found:
    """Poll until `look` answers something, or fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found


def copy_product(folder: Path) -> Path:
    """Copy the product into a folder, to which a test can add files, and return its new place."""
    project = folder / "project"
    unwanted = shutil.ignore_patterns("__pycache__")
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}
    for name in packages | {"migrations"}:
        shutil.copytree(PROJECT / name, project / name, ignore=unwanted)
    for path in (*PROJECT.glob("*.py"), PROJECT / "alembic.ini"):
        shutil.copy(path, project)
    return project


class RunningStack:
    """`cli.py up` in a folder of its own, known only by its `stack.json`."""

    def __init__(self, folder: Path, *options: str, project: Path = PROJECT) -> None:
        self._data = folder / "data"
        self.logs = self._data / "logs"
        self._seen: set[int] = set()
        with (folder / "up.log").open("wb") as log:
            command = [sys.executable, "cli.py", "up", "--data", str(self._data)]
            self._supervisor = subprocess.Popen(
                [*command, "--ports", "auto", *options],
                stdout=log,
                stderr=log,
                cwd=project,
                start_new_session=True,
            )

    @property
    def supervisor_pid(self) -> int:
        """The process that started all others."""
        return self._supervisor.pid

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            code = self._supervisor.poll()
            assert code is None, f"the stack ended with {code} while it started"
            return self.facts_path.exists()

        wait_for("stack.json", is_ready, START_SECONDS)

    @property
    def facts_path(self) -> Path:
        """The `stack.json` of the running stack."""
        return self._data / "stack.json"

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.facts_path.read_text())
        self._seen.update(pid for pids in facts["pids"].values() for pid in pids)
        return facts

    def pid(self, name: str) -> int:
        return int(self.facts["pids"][name][0])

    def kill(self, name: str) -> None:
        """Kill a part with SIGKILL; the supervisor is free to start it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def kill_and_wait(self, name: str) -> None:
        """Kill a part, and wait until the supervisor tells of its successor."""
        old = self.pid(name)
        self.kill(name)
        wait_for(f"a new {name}", lambda: self.pid(name) != old)

    def wait_for_standby(self) -> None:
        """Wait until a second worker has loaded its modules and waits for its turn."""
        worker = psutil.Process(self.pid("worker"))

        def has_standby() -> bool:
            others = [each for each in worker.parent().children() if each != worker]
            waiting = [each for each in others if "--standby" in each.cmdline()]
            used = [sum(each.cpu_times()[:2]) for each in waiting]
            time.sleep(0.5)
            return bool(waiting) and used == [sum(each.cpu_times()[:2]) for each in waiting]

        wait_for("a standby", has_standby)

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Let a part do nothing for a while; it may be killed meanwhile."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if self.pid(name) == pid:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """Kill a part, and keep the supervisor from starting it again."""
        pid = self.pid(name)
        self._supervisor.send_signal(signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            yield
        finally:
            self._supervisor.send_signal(signal.SIGCONT)
        wait_for(f"a new {name}", lambda: self.pid(name) != pid)

    def stop(self) -> None:
        """Stop all with SIGTERM: in time, with exit code 0, and with nothing left."""
        facts = self.facts
        self._supervisor.terminate()
        assert self._supervisor.wait(STOP_SECONDS) == 0
        assert not self.facts_path.exists()
        assert [pid for pid in self._seen if _is_alive(pid)] == []
        assert [name for name in ADDRESSES if _listens(facts[name])] == []

    def destroy(self) -> None:
        """End whatever is left after a failed stop; the children go with their parent."""
        if self._supervisor.poll() is None:
            self._supervisor.kill()
            self._supervisor.wait()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _listens(address: str) -> bool:
    parts = urlsplit(address if "//" in address else f"//{address}")
    with socket.socket() as client:
        return client.connect_ex((parts.hostname or "", parts.port or 0)) == 0
