"""`agents check` names everything that is wrong with the files of agents, file by file."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from commands.agents.check import check_all
from tests.unit.agents.test_registry import SPEC, folder, write

__all__ = ["folder"]

TEAM = 'pattern = "supervisor"\n[team]\nmembers = ["reader"]\n'


def checked() -> tuple[int, str]:
    text = io.StringIO()
    code = check_all(Console(file=text, soft_wrap=True))
    return code, text.getvalue()


def test_the_agents_of_this_repository_are_well() -> None:
    code, text = checked()
    assert code == 0, text
    assert "research_report  supervisor" in text
    assert "agents are well" in text


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("description = ", "lead.toml is not a valid agent spec"),
        (SPEC + 'colour = "red"', "lead.toml is not a valid agent spec"),
        (SPEC + 'kind = "poet"', "there is no kind poet; the kinds are: research, analysis"),
        (SPEC.replace("v1", "v2"), "lead.toml names the prompt v2, which does not exist"),
        (SPEC + 'pattern = "swarm"', "lead.toml names the pattern swarm, which does not exist"),
        (SPEC.replace("search_memory", "nothing"), "lead.toml names unknown tools: ['nothing']"),
        (SPEC + 'pattern = "supervisor"', "lead.toml: the pattern supervisor needs a [team]"),
        (SPEC + TEAM.replace("reader", "nobody"), "names unknown members: ['nobody']"),
        (SPEC + TEAM.replace("reader", "lead"), "a member of its own team"),
        (SPEC + TEAM + 'on_failure = "quorum"\nquorum = 1', "on_failure of the pattern supervisor"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(folder: Path, spec: str, complaint: str) -> None:
    write(folder, "reader", SPEC, v1="You read.\n")
    write(folder, "lead", spec, v1="You lead.\n")
    code, text = checked()
    assert code == 1
    assert complaint in text, text


def test_a_kind_gives_what_a_file_leaves_out(folder: Path) -> None:
    write(folder, "reader", 'description = "Reads."\nprompt_version = "v1"\nkind = "analysis"\n')
    (folder / "prompts" / "reader" / "v1.md").write_text("You read.\n", encoding="utf-8")
    code, text = checked()
    assert code == 0, text
    assert "read_billing, ask_user" in text


def test_how_long_answers_are_cached_is_shown(folder: Path) -> None:
    write(folder, "clerk", SPEC + "[cache]\nttl_hours = 36", v1="You help.\n")
    write(folder, "reader", SPEC, v1="You read.\n")
    code, text = checked()
    assert code == 0, text
    rows = {line.split()[0]: line.split()[-2:] for line in text.splitlines()[1:3]}
    assert rows["clerk"] == ["36", "h"]
    assert rows["reader"][-1] == "-"
