"""The commands of README and docs run against a stack, in order, as they are printed."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack.ports import Ports
from tests.e2e.client import World
from tests.e2e.running import PROJECT
from tests.support.pages import PAGES, scripts

WITH_COMMANDS = {page.name: found for page in PAGES if (found := scripts(page))}


def make_folder(folder: Path, world: World) -> None:
    """Let a folder look like the project's, with the running stack as its own."""
    for entry in PROJECT.iterdir():
        if entry.name not in {".perdure", ".env", ".venv"}:
            (folder / entry.name).symlink_to(entry)
    (folder / ".perdure").symlink_to(world.stack.facts_path.parent)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()


def with_ports(script: str, world: World) -> str:
    """Replace the ports of the table by those of this stack."""
    facts, table = world.stack.facts, Ports()
    for name in ("api", "temporal_ui", "stripe", "llm", "mail", "metrics", "worker"):
        port = urlsplit(facts[name]).port
        script = script.replace(f"127.0.0.1:{getattr(table, name)}", f"127.0.0.1:{port}")
    return script


def test_the_pages_have_commands() -> None:
    assert {"README.md", "operations.md", "billing.md"} <= WITH_COMMANDS.keys()


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_run(page: str, world: World, tmp_path: Path) -> None:
    make_folder(tmp_path, world)
    script = with_ports("\n".join(WITH_COMMANDS[page]), world)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert "error" not in done.stderr
