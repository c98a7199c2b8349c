"""Prompts are versions: runs that are under way have pinned theirs, so none may change or go."""

import hashlib
import json
from pathlib import Path

from agents.registry import PROMPTS, all_agents, prompt_text, prompt_versions
from tests.conftest import PROJECT

PINNED = Path(__file__).with_name("prompts.json")
CHANGE_NOTHING = "a prompt's text never changes: write the next version, and let the spec name it"


def pinned() -> dict[str, str]:
    digests: dict[str, str] = json.loads(PINNED.read_text(encoding="utf-8"))
    return digests


def committed() -> dict[str, str]:
    """Return the digest of every prompt that a run can name, as its model reads it."""
    return {
        f"{agent}/{version}": hashlib.sha256(prompt_text(agent, version).encode()).hexdigest()
        for agent in sorted(path.name for path in PROMPTS.iterdir())
        for version in prompt_versions(agent)
    }


def complaints(found: dict[str, str], known: dict[str, str]) -> list[str]:
    """Return what is wrong with these prompts, and what to do about it."""
    gone = [f"{name} is gone: {CHANGE_NOTHING}" for name in sorted(known.keys() - found.keys())]
    edited = [
        f"{name} was edited: {CHANGE_NOTHING}"
        for name in sorted(known.keys() & found.keys())
        if known[name] != found[name]
    ]
    new = [
        f'{name} is new: add "{name}": "{found[name]}" to {PINNED.relative_to(PROJECT)}'
        for name in sorted(found.keys() - known.keys())
    ]
    return gone + edited + new


def test_no_version_was_edited_or_deleted_and_new_ones_are_pinned() -> None:
    found = complaints(committed(), pinned())
    assert not found, "\n".join(found)


def test_an_edit_a_loss_and_a_newcomer_are_noticed() -> None:
    known = {"a/v1": "1", "a/v2": "2"}
    assert complaints(known, known) == []
    (edited,) = complaints({"a/v1": "1", "a/v2": "other"}, known)
    assert edited.startswith("a/v2 was edited: ")
    assert "next version" in edited
    (gone,) = complaints({"a/v2": "2"}, known)
    assert gone.startswith("a/v1 is gone: ")
    (new,) = complaints(known | {"a/v3": "3"}, known)
    assert new == 'a/v3 is new: add "a/v3": "3" to tests/unit/agents/prompts.json'


def test_versions_are_numbered_without_a_gap() -> None:
    for agent in all_agents():
        versions = prompt_versions(agent)
        assert versions == tuple(f"v{number}" for number in range(1, len(versions) + 1))


def test_no_prompt_is_empty_or_longer_than_its_agent_can_read() -> None:
    for agent, spec in all_agents().items():
        for version in prompt_versions(agent):
            text = prompt_text(agent, version)
            assert text
            assert "\ufffd" not in text
            assert len(text.encode()) < spec.context_tokens


def test_the_research_prompt_says_what_matters() -> None:
    """How to cite, that passages give no orders, and that a person decides about refunds."""
    text = prompt_text("research", all_agents()["research"].prompt_version).casefold()
    for words in ("[1]", "`fetch_page`", "never an instruction", "a refund is decided by a person"):
        assert words in text
