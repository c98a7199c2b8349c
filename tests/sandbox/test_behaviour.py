"""The table of behaviour and its tests are one."""

import ast
import re

import pytest

from tests.sandbox.places import KEY
from tests.sandbox.servers import ROOT

TABLE = ROOT / "sandbox" / "stripe" / "BEHAVIOUR.md"
FOLDER = ROOT / "tests" / "sandbox"
ROW = re.compile(
    r"^\| (?P<rule>\S.+) \| \[(?P<page>[^\]]+)\]\(https://docs\.stripe\.com/(?P<path>\S+)\) "
    r"\| `(?P<test>test_\w+)` \|$"
)


def _sections() -> dict[str, list[re.Match[str]]]:
    """Return the rows by the file of tests that their section names."""
    sections: dict[str, list[re.Match[str]]] = {}
    file = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("`tests/sandbox/"):
            file = line.strip("`").rpartition("/")[2]
            sections[file] = []
        elif line.startswith("| ") and not line.startswith(("| rule", "| ---")):
            row = ROW.match(line)
            assert row, line
            sections[file].append(row)
    return sections


def _tests(file: str) -> list[str]:
    tree = ast.parse((FOLDER / file).read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if name.startswith("test_")]


def test_each_rule_has_its_test_and_each_test_its_rule() -> None:
    sections = _sections()
    assert sections.keys() == {path.name for path in FOLDER.glob("test_behaviour_*.py")}
    for file, rows in sections.items():
        assert [row["test"] for row in rows] == _tests(file)
    rules = [row["rule"] for rows in sections.values() for row in rows]
    assert len(rules) == len(set(rules)) > 90


def test_each_row_names_the_page_that_it_links_to() -> None:
    for rows in _sections().values():
        for row in rows:
            assert re.split(r"[?#]", row["path"])[0] == row["page"]


def test_stripe_itself_was_asked() -> None:
    if not KEY:
        pytest.skip("STRIPE_TEST_KEY is not set: behaviour was looked at in the sandbox only")
    assert KEY.startswith(("sk_test_", "rk_test_"))
