"""Registry of agents: reads and checks the specs and prompts of all agents."""

import re
import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path

from agents.spec import AgentSpec
from domain.errors import NotFoundError

FOLDER = Path(__file__).parent
SPECS = FOLDER / "specs"
PROMPTS = FOLDER / "prompts"
_VERSION = re.compile(r"v[1-9][0-9]*")


@cache
def all_agents() -> dict[str, AgentSpec]:
    """Return all agents by name.

    Raises:
        ValueError: A spec is invalid or names an unknown prompt; the message has the file.
    """
    return {path.stem: _read(path) for path in sorted(SPECS.glob("*.toml"))}


def check_agents(patterns: Collection[str], tools: Collection[str]) -> None:
    """Check that the patterns and tools of all agents exist.

    Args:
        patterns: Names of all patterns.
        tools: Names of all tools.

    Raises:
        ValueError: A spec is invalid, or names an unknown pattern, tool or prompt; the message has
            the file.
    """
    for spec in all_agents().values():
        if spec.pattern not in patterns:
            raise ValueError(
                f"{spec.name}.toml names the pattern {spec.pattern}, which does not exist; "
                f"the patterns are: {', '.join(sorted(patterns))}"
            )
        if unknown := set(spec.tools) - set(tools):
            raise ValueError(f"{spec.name}.toml names unknown tools: {sorted(unknown)}")


def find_agent(name: str) -> AgentSpec:
    """Return the spec of an agent.

    Raises:
        NotFoundError: There is no agent of this name.
    """
    if (spec := all_agents().get(name)) is None:
        raise NotFoundError("there is no such agent", "unknown_agent")
    return spec


@cache
def prompt_versions(agent: str) -> tuple[str, ...]:
    """Return the versions of an agent's prompt, oldest first; other files are ignored."""
    names = (path.stem for path in (PROMPTS / agent).glob("*.md"))
    versions = (name for name in names if _VERSION.fullmatch(name))
    return tuple(sorted(versions, key=lambda name: int(name[1:])))


@cache
def prompt_text(agent: str, version: str) -> str:
    """Return the text of one version of an agent's prompt.

    Raises:
        NotFoundError: There is no such version.
    """
    if version not in prompt_versions(agent):
        raise NotFoundError(f"there is no prompt {agent}/{version}", "unknown_prompt")
    return (PROMPTS / agent / f"{version}.md").read_text(encoding="utf-8").strip()


def _read(path: Path) -> AgentSpec:
    try:
        spec = AgentSpec(name=path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a valid agent spec: {error}") from error
    if spec.prompt_version not in prompt_versions(spec.name):
        raise ValueError(
            f"{path.name} names the prompt {spec.prompt_version}, which does not exist"
        )
    return spec
