"""An agent is one spec file and its prompts; what is wrong with them is said at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agents import registry
from agents.registry import (
    all_agents,
    check_agents,
    find_agent,
    prompt_text,
    prompt_versions,
)
from bootstrap.tools import load_agents, make_tool_catalog
from domain.errors import InvalidInputError, NotFoundError

SPEC = """
description = "Reckons."
prompt_version = "v1"
tools = ["search_memory"]
"""


def forget() -> None:
    for cached in (all_agents, prompt_versions, prompt_text):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder of specs and prompts that is empty but for what a test puts there."""
    monkeypatch.setattr(registry, "SPECS", tmp_path / "specs")
    monkeypatch.setattr(registry, "PROMPTS", tmp_path / "prompts")
    (tmp_path / "specs").mkdir()
    forget()
    yield tmp_path
    forget()


def write(folder: Path, name: str, spec: str, **prompts: str) -> None:
    (folder / "specs" / f"{name}.toml").write_text(spec, encoding="utf-8")
    (folder / "prompts" / name).mkdir(parents=True)
    for version, text in prompts.items():
        (folder / "prompts" / name / f"{version}.md").write_text(text, encoding="utf-8")


def test_every_agent_of_this_repository_is_whole() -> None:
    forget()
    assert {path.stem for path in registry.SPECS.iterdir()} == set(all_agents())
    for name, spec in all_agents().items():
        assert spec.name == name
        assert spec.description
        assert len(set(spec.tools)) == len(spec.tools)
        assert prompt_text(name, spec.prompt_version)
        assert find_agent(name) is spec
    load_agents(make_tool_catalog())


def test_every_prompt_belongs_to_an_agent_and_every_file_is_a_version() -> None:
    for folder in registry.PROMPTS.iterdir():
        assert folder.name in all_agents()
        assert {path.stem for path in folder.iterdir()} == set(prompt_versions(folder.name))


def test_the_research_agent_can_do_what_it_is_for() -> None:
    spec = find_agent("research")
    assert set(spec.tools) >= {"search_memory", "refund_payment"}
    assert spec.passage_count > 0


def test_another_agent_is_one_file_and_its_prompt(folder: Path) -> None:
    write(folder, "analysis", SPEC, v1="You reckon.\n")
    write(folder, "research", SPEC, v1="You look up.\n")
    assert list(all_agents()) == ["analysis", "research"]
    spec = find_agent("analysis")
    assert (spec.name, spec.description, spec.tools) == ("analysis", "Reckons.", ("search_memory",))
    assert spec.approval_ttl == timedelta(days=1)
    assert prompt_text("analysis", "v1") == "You reckon."


def test_versions_are_ordered_by_number(folder: Path) -> None:
    texts = {f"v{number}": f"text {number}" for number in (10, 9, 1, 2)}
    write(folder, "analysis", SPEC, **texts, readme="none", v03="none", vague="none", v="none")
    assert prompt_versions("analysis") == ("v1", "v2", "v9", "v10")
    assert prompt_text("analysis", "v10") == "text 10"
    for version in ("v3", "v03", "readme", "../research/v1", ""):
        with pytest.raises(NotFoundError) as refused:
            prompt_text("analysis", version)
        assert refused.value.error_code == "unknown_prompt"


def test_an_unknown_agent_is_not_found(folder: Path) -> None:
    assert all_agents() == {}
    assert prompt_versions("nobody") == ()
    with pytest.raises(NotFoundError) as refused:
        find_agent("nobody")
    assert refused.value.error_code == "unknown_agent"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (SPEC.replace("v1", "v2"), "v2"),
        (SPEC.replace("v1", "1"), "prompt_version"),
        (SPEC.replace("tools", "tolls"), "tolls"),
        (SPEC.replace("description", "#"), "description"),
        (SPEC + "pattern = 1", "pattern"),
        (SPEC + "max_step_count = 0", "max_step_count"),
        (SPEC + "max_answer_tokens = 1", "max_answer_tokens"),
        (SPEC + 'approval_ttl = "0s"', "approval_ttl"),
        (SPEC + "approval_ttl = 60", "approval_ttl"),
        (SPEC + 'name = "other"', "name"),
        (SPEC + "[cache]", "ttl_hours"),
        (SPEC + "[cache]\nttl_hours = 0", "ttl_hours"),
        (SPEC + "[cache]\nttl_hours = 721", "ttl_hours"),
        (SPEC + "[cache]\nttl_hours = 1\nshared = true", "shared"),
        (SPEC + "tools =", "Invalid"),
    ],
)
def test_a_wrong_spec_is_refused_by_its_files_name(folder: Path, spec: str, named: str) -> None:
    write(folder, "sound", SPEC, v1="text")
    write(folder, "wrong", spec, v1="text")
    with pytest.raises(ValueError, match=r"^wrong\.toml ") as refused:
        all_agents()
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (SPEC.replace("search_memory", "launch_rocket"), "unknown tools: ['launch_rocket']"),
        (SPEC + 'pattern = "swarm"', "the pattern swarm, which does not exist; the patterns are: "),
    ],
)
def test_an_unknown_tool_or_pattern_is_refused_before_the_first_run(
    folder: Path, spec: str, named: str
) -> None:
    write(folder, "sound", SPEC, v1="text")
    check_agents({"pipeline"}, {"search_memory"})
    forget()
    write(folder, "wrong", spec, v1="text")
    with pytest.raises(InvalidInputError, match=r"^wrong\.toml names ") as refused:
        load_agents(make_tool_catalog())
    assert named in str(refused.value)


@pytest.mark.parametrize("name", ["Upper", "has space", "1st", "a" * 42])
def test_a_files_name_has_to_be_a_name(folder: Path, name: str) -> None:
    write(folder, name, SPEC, v1="text")
    with pytest.raises(ValueError, match="is not a valid agent spec"):
        all_agents()


def test_a_spec_without_its_prompts_folder_is_refused(folder: Path) -> None:
    (folder / "specs" / "lonely.toml").write_text(SPEC, encoding="utf-8")
    with pytest.raises(ValueError, match=r"lonely\.toml names the prompt v1"):
        all_agents()
