"""Lines of children: whole, prefixed, kept."""

import asyncio
import os
from pathlib import Path

import pytest

from stack.logs import LogRouter, Terminal


async def test_lines_reach_terminal_and_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    logs = LogRouter(tmp_path, terminal)
    pen = await logs.pen("api", is_quiet=False)
    os.write(pen, b"first\nsec")
    os.write(pen, "ond é\nlast".encode())
    await logs.close()
    terminal.close()
    # Reason: workers of other tests in this process print lines of their own meanwhile.
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("api ")] == [
        "api      | first",
        "api      | second é",
        "api      | last",
    ]
    assert (tmp_path / "api.log").read_text() == "first\nsecond é\nlast\n"
    assert logs.tail("api") == ("first", "second é", "last")
    assert logs.tail("nobody") == ()


async def test_a_quiet_part_only_fills_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    logs = LogRouter(tmp_path, terminal)
    os.write(await logs.pen("chroma", is_quiet=True), b"advertisement\n")
    await logs.close()
    terminal.close()
    assert "advertisement" not in capsys.readouterr().out
    assert (tmp_path / "chroma.log").read_text() == "advertisement\n"


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    terminal = Terminal()
    logs = LogRouter(tmp_path, terminal)
    pen = await logs.pen("worker", is_quiet=True)
    for _ in range(3):
        os.write(pen, b"x" * 40_000)
        await asyncio.sleep(0.05)
    await logs.close()
    terminal.close()
    lines = (tmp_path / "worker.log").read_text().splitlines()
    assert len(lines) == 2
    assert "".join(lines) == "x" * 120_000


async def test_the_last_run_is_kept(tmp_path: Path) -> None:
    terminal = Terminal()
    for text in (b"one\n", b"two\n"):
        logs = LogRouter(tmp_path, terminal)
        os.write(await logs.pen("api", is_quiet=True), text)
        await logs.close()
    terminal.close()
    assert (tmp_path / "api.log").read_text() == "two\n"
    assert (tmp_path / "api.log.1").read_text() == "one\n"
