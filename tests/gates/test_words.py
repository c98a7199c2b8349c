"""The gate of words finds a planted one, and nothing in this project."""

import shutil
from pathlib import Path

import pytest

from tests.gates.words import LIST, uses

ROOT = Path(__file__).parents[2]


def test_the_project_uses_no_word_that_was_replaced() -> None:
    assert list(uses(ROOT)) == []


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("api/deps.py", "class AgentDesk:\n", "api/deps.py:1: say activity_calls, not AgentDesk"),
        ("README.md", "\nStripe is Not to be Reached.\n", "README.md:2: say cannot be reached"),
    ],
)
def test_a_replaced_word_is_found(tmp_path: Path, path: str, text: str, found: str) -> None:
    (tmp_path / LIST).parent.mkdir(parents=True)
    shutil.copy(ROOT / LIST, tmp_path / LIST)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
    (tmp_path / "CHANGELOG.md").write_text(text)
    [use] = uses(tmp_path)
    assert use.startswith(found)


def test_a_part_of_a_longer_name_is_no_use(tmp_path: Path) -> None:
    (tmp_path / LIST).parent.mkdir(parents=True)
    shutil.copy(ROOT / LIST, tmp_path / LIST)
    (tmp_path / "deps.py").write_text("AgentDesks = my_AgentDesk\n")
    assert list(uses(tmp_path)) == []
