"""The table of changes in `docs/adding.md` names files that exist, and few of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_FILES = 8
CELL = re.compile(r"`([^`]+)`( \(new\))?")


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "adding.md").read_text()
    table = text.partition("## What a change touches")[2]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_each_change_names_its_files_and_their_number() -> None:
    for change, files, count in rows():
        paths = CELL.findall(files)
        assert len(paths) == int(count) <= MAX_FILES, change


def test_files_that_are_not_new_exist() -> None:
    named = [path for _, files, _ in rows() for path, new in CELL.findall(files) if not new]
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_files_that_are_new_do_not_exist() -> None:
    named = [path for _, files, _ in rows() for path, new in CELL.findall(files) if new]
    assert [path for path in named if (ROOT / path).exists()] == []


def test_twenty_changes_are_named_once_each() -> None:
    # Reason: an event of Stripe and a tool have two rows each.
    changes = [change for change, _, _ in rows()]
    assert len(changes) == len(set(changes)) == 23
