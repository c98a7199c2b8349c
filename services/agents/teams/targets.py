"""Decides which calls of `delegate` and `hand_over` are valid, and whom they name."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from agents.spec import AgentSpec
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from domain.agents.patterns import DELEGATE, HAND_OVER, PatternName


class Target(NamedTuple):
    """Whom a call of `delegate` or `hand_over` names.

    Args:
        agent: The agent; None if the call is refused.
        refusal: Why it is refused, for the model.
    """

    agent: str | None
    refusal: str | None = None


class Peers(NamedTuple):
    """The peers of a run whose parent lets its members hand over.

    Args:
        parent: The parent.
        agents: Names of the other members.
        max_hops: Most hand-overs.
    """

    parent: AgentRun
    agents: tuple[str, ...]
    max_hops: int


async def find_target(session: AsyncSession, run: AgentRun, call: ToolCall) -> Target:
    """Return whom a call names; a call of another tool names nobody.

    Args:
        session: Session to read with.
        run: The run that made the call.
        call: The call, which is in the ledger.
    """
    if call.tool == DELEGATE:
        return await _find_member(session, run, call)
    if call.tool == HAND_OVER:
        return await _find_peer(session, run, call)
    return Target(None)


async def peers_of(session: AsyncSession, run: AgentRun) -> Peers | None:
    """Return the peers to whom a run may hand over; None if its parent has no such pattern."""
    if run.parent_run_id is None:
        return None
    parent = await AgentRunRepository(session).get(run.parent_run_id, None)
    if parent is None:
        return None
    spec = find_agent(parent.agent)
    if spec.team is None or spec.pattern != PatternName.PEER_TO_PEER:
        return None
    others = tuple(name for name in spec.team.members if name != run.agent)
    return Peers(parent, others, spec.team.max_hops)


async def _find_member(session: AsyncSession, run: AgentRun, call: ToolCall) -> Target:
    spec, name = find_agent(run.agent), _named(call)
    if spec.team is None:
        return Target(None, "you have no team")
    if name not in spec.team.members:
        return _unknown(name, spec.team.members)
    delegated = await delegations(session, run.agent_run_id)
    place = [each.call_id for each in delegated].index(call.call_id)
    if place >= _most_runs(spec):
        return Target(None, f"you have given {place} tasks, and no more are allowed")
    return Target(name)


async def _find_peer(session: AsyncSession, run: AgentRun, call: ToolCall) -> Target:
    peers, name = await peers_of(session, run), _named(call)
    if peers is None:
        return Target(None, "there is nobody to whom you could hand over")
    if name not in peers.agents:
        return _unknown(name, peers.agents)
    # Reason: the first run of a team is no hand-over.
    if len(await delegations(session, peers.parent.agent_run_id)) > peers.max_hops:
        return Target(None, "the task was handed over too often: answer it yourself")
    return Target(name)


async def delegations(session: AsyncSession, agent_run_id: UUID) -> list[ToolCall]:
    """Return a run's well-formed calls of `delegate`, oldest first."""
    calls = await ToolCallRepository(session).of_run(agent_run_id)
    return [call for call in calls if call.tool == DELEGATE and call.arguments_data]


def _most_runs(spec: AgentSpec) -> int:
    if spec.team is None:
        return 0
    # Reason: the members of a pattern that is planned by rule are limited by the rule.
    return max(spec.team.max_runs, len(spec.team.members), spec.team.max_hops + 1)


def _named(call: ToolCall) -> str:
    return str(call.arguments_data.get("agent", ""))


def _unknown(name: str, known: tuple[str, ...]) -> Target:
    return Target(None, f"there is no {name}; there are: {', '.join(known)}")
