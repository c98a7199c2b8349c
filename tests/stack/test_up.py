"""`cli.py up` as a person meets it when it cannot start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from stack.data_dir import DataDir
from stack.ports import HOST
from tests.stack.harness import PROJECT


def _up(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "cli.py", "up", "--data", str(folder), "--ports", "auto"],
        cwd=PROJECT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_taken_port_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        outcome = _up(
            tmp_path, PERDURE_PORT_CHROMA=str(port), DATABASE_URL="postgresql://elsewhere/x"
        )
    assert outcome.returncode == 1
    assert outcome.stderr == (
        f"error: port {port} (chroma) is taken: stop what listens there,"
        " set PERDURE_PORT_CHROMA, or use --ports auto\n"
    )
    assert "|" not in outcome.stdout


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.open()
    outcome = _up(tmp_path)
    data.close()
    assert outcome.returncode == 1
    assert outcome.stderr == f"error: a stack runs on {tmp_path} already (pid {os.getpid()})\n"
