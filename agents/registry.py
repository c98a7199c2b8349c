"""Registry of agents: reads and checks the specs and prompts of all agents."""

import re
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from agents.kinds import with_defaults
from agents.spec import AgentSpec
from domain.agents.patterns import nesting_problem, team_problem
from domain.agents.routes import Member, Route
from domain.errors import NotFoundError

FOLDER = Path(__file__).parent
SPECS = FOLDER / "specs"
PROMPTS = FOLDER / "prompts"
_VERSION = re.compile(r"v[1-9][0-9]*")


class SpecFile(NamedTuple):
    """The file of an agent.

    Args:
        spec: The spec; None if it is invalid.
        problem: What is wrong with it.
    """

    spec: AgentSpec | None
    problem: str | None = None


@cache
def all_agents() -> dict[str, AgentSpec]:
    """Return all agents by name.

    Raises:
        ValueError: A spec is invalid or names an unknown prompt; the message has the file.
    """
    return {path.stem: _read(path) for path in _spec_paths()}


def read_spec_files() -> list[SpecFile]:
    """Return all files of agents: each with its spec, or with what is wrong with it."""
    files = []
    for path in _spec_paths():
        try:
            files.append(SpecFile(_read(path)))
        except ValueError as error:
            files.append(SpecFile(None, str(error)))
    return files


def check_agents(patterns: Collection[str], tools: Collection[str]) -> None:
    """Check that all that the agents name exists.

    Args:
        patterns: Names of all patterns.
        tools: Names of all tools.

    Raises:
        ValueError: A spec is invalid, or names an unknown pattern, tool, prompt or member; the
            message has the file.
    """
    for spec in all_agents().values():
        if (problem := next(problems_of(spec, patterns, tools), None)) is not None:
            raise ValueError(problem)


def problems_of(
    spec: AgentSpec, patterns: Collection[str], tools: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with a spec beside its form; each problem names the file.

    Args:
        spec: Spec of an agent.
        patterns: Names of all patterns.
        tools: Names of all tools.
    """
    if spec.pattern not in patterns:
        yield (
            f"{spec.name}.toml names the pattern {spec.pattern}, which does not exist; "
            f"the patterns are: {', '.join(sorted(patterns))}"
        )
    if unknown := set(spec.tool_names) - set(tools):
        yield f"{spec.name}.toml names unknown tools: {sorted(unknown)}"
    if problem := team_problem(spec.pattern, spec.team):
        yield f"{spec.name}.toml: {problem}"
    if strangers := set(_members(spec)) - set(all_agents()):
        yield f"{spec.name}.toml names unknown members: {sorted(strangers)}"
    elif problem := nesting_problem(spec.name, _teams()):
        yield f"{spec.name}.toml: {problem}"


def find_route(spec: AgentSpec) -> Route:
    """Return what a run of an agent keeps from its beginning, with its whole team."""
    return Route(
        pattern=spec.pattern,
        has_retrieval=spec.passage_count > 0,
        max_step_count=spec.most_steps,
        team=spec.team,
        members=tuple(
            Member(
                agent=name,
                prompt_version=find_agent(name).prompt_version,
                route=find_route(find_agent(name)),
            )
            for name in _members(spec)
        ),
    )


def _members(spec: AgentSpec) -> tuple[str, ...]:
    return spec.team.members if spec.team else ()


def _teams() -> dict[str, tuple[str, ...]]:
    return {spec.name: _members(spec) for spec in all_agents().values()}


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


def _spec_paths() -> list[Path]:
    return sorted(SPECS.glob("*.toml"))


def _read(path: Path) -> AgentSpec:
    try:
        spec = AgentSpec(
            name=path.stem, **with_defaults(tomllib.loads(path.read_text(encoding="utf-8")))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is not a valid agent spec: {error}") from error
    if spec.prompt_version not in prompt_versions(spec.name):
        raise ValueError(
            f"{path.name} names the prompt {spec.prompt_version}, which does not exist"
        )
    return spec
