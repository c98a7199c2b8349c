"""The agents there are: every file in `agents/specs`, checked once, when it is first needed."""

import re
import tomllib
from functools import cache
from pathlib import Path

from agents.spec import AgentSpec
from agents.tools import TOOLS
from domain.errors import NotFoundError

FOLDER = Path(__file__).parent
SPECS = FOLDER / "specs"
PROMPTS = FOLDER / "prompts"
_VERSION = re.compile(r"v[1-9][0-9]*")


@cache
def all_agents() -> dict[str, AgentSpec]:
    """Return every agent by its name.

    Raises:
        ValueError: A spec is wrong, or names a tool or a prompt that is not there; the message
            names the file.
    """
    return {path.stem: _read(path) for path in sorted(SPECS.glob("*.toml"))}


def find_agent(name: str) -> AgentSpec:
    """Return an agent.

    Raises:
        NotFoundError: There is none of this name.
    """
    if (spec := all_agents().get(name)) is None:
        raise NotFoundError("there is no such agent", "unknown_agent")
    return spec


@cache
def prompt_versions(agent: str) -> tuple[str, ...]:
    """Return the versions of an agent's prompt, oldest first; other files are no versions."""
    names = (path.stem for path in (PROMPTS / agent).glob("*.md"))
    versions = (name for name in names if _VERSION.fullmatch(name))
    return tuple(sorted(versions, key=lambda name: int(name[1:])))


@cache
def prompt_text(agent: str, version: str) -> str:
    """Return one version of an agent's prompt.

    Raises:
        NotFoundError: There is no such version: a prompt that runs may name is never deleted.
    """
    if version not in prompt_versions(agent):
        raise NotFoundError(f"the prompt {agent}/{version} is not there", "unknown_prompt")
    return (PROMPTS / agent / f"{version}.md").read_text(encoding="utf-8").strip()


def _read(path: Path) -> AgentSpec:
    try:
        spec = AgentSpec(name=path.stem, **tomllib.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is no agent's spec: {error}") from error
    if unknown := set(spec.tools) - TOOLS.keys():
        raise ValueError(f"{path.name} names tools that are not there: {sorted(unknown)}")
    if spec.prompt_version not in prompt_versions(spec.name):
        raise ValueError(f"{path.name} names the prompt {spec.prompt_version}, which is not there")
    return spec
