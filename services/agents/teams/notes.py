"""Tells a model of its team: whom it may ask, and to whom it may hand over."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from agents.spec import AgentSpec
from database.agents.models import AgentRun
from domain.agents.patterns import DELEGATE, HAND_OVER, MODEL_PLANNED
from services.agents.teams.targets import peers_of


class TeamNote(NamedTuple):
    """What a model learns of its team.

    Args:
        text: Text behind the agent's own prompt; empty if it works alone.
        tools: Names of further tools that it may call.
    """

    text: str = ""
    tools: tuple[str, ...] = ()


async def read_team_note(session: AsyncSession, run: AgentRun, spec: AgentSpec) -> TeamNote:
    """Return what the model of a run learns of its team."""
    parts, tools = [], []
    if spec.team is not None and spec.pattern in MODEL_PLANNED:
        head = f"You lead a team. Give its members tasks by `{DELEGATE}`:"
        parts.append(f"{head}\n{_list(spec.team.members)}")
    if (peers := await peers_of(session, run)) is not None:
        head = f"You work with these peers, to whom you may pass the task on by `{HAND_OVER}`:"
        parts.append(f"{head}\n{_list(peers.agents)}")
        tools.append(HAND_OVER)
    return TeamNote("".join(f"\n\n{part}" for part in parts), tuple(tools))


def _list(names: Iterable[str]) -> str:
    return "\n".join(f"- `{name}`: {find_agent(name).description}" for name in names)
