"""Servers that are there and refuse: one line that names the reason, and no secret."""

import os
import subprocess
import sys

import pytest

from tests.e2e.client import World
from tests.e2e.running import PROJECT

COMMANDS = {"migrate": ("cli.py", "migrate"), "worker": ("worker.py",)}


def run(world: World, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    facts = world.stack.facts
    environ = {
        "DATABASE_URL": facts["database_url"],
        "TEMPORAL__ADDRESS": facts["temporal"],
        "STRIPE__API_BASE": facts["stripe"],
        "LLM__BASE_URL": f"{facts['llm']}/v1",
        "AUTH__JWT_SECRET": "x" * 32,
    }
    return subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, **environ, **changes},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_namespace_that_is_not_there_is_one_line(world: World, name: str) -> None:
    done = run(world, *COMMANDS[name], TEMPORAL__NAMESPACE="nowhere")
    assert done.returncode == 1
    *log, line = done.stderr.splitlines()
    assert "nowhere" in line
    assert "Status {" not in line
    assert log == []
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_password_is_one_line(world: World) -> None:
    head, _, tail = world.stack.facts["database_url"].partition("@")
    url = f"{head.rpartition(':')[0]}:hidden@{tail}"
    done = run(world, *COMMANDS["migrate"], DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: PostgreSQL cannot be reached: ")
    assert "password authentication failed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr
