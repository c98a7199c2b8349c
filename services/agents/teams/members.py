"""Reads what the members of a team have brought: the ends of a run's children."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_calls import ToolCallRepository
from domain.agents.patterns import HAND_OVER, MemberEnd
from domain.agents.runs import CLOSED, RunStatus
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.ids import child_run_id
from services.agents.teams.targets import delegations


class MemberRun(NamedTuple):
    """A task that a run has given to a member of its team.

    Args:
        call: The call of `delegate`.
        child: The run that works on it; None if it was refused or has not begun.
        hand_over: The call by which the child passed the task on; None if it answered.
    """

    call: ToolCall
    child: AgentRun | None
    hand_over: ToolCall | None

    @property
    def end(self) -> MemberEnd:
        """How the member ended; one whose run never began has failed."""
        status = RunStatus(self.child.run_status) if self.child else RunStatus.FAILED
        handed_to = self.hand_over.arguments_data["agent"] if self.hand_over else None
        return MemberEnd(
            agent=self.call.arguments_data["agent"],
            run_status=status if status in CLOSED else RunStatus.FAILED,
            handed_to=handed_to,
        )


async def read_members(session: AsyncSession, run: AgentRun) -> list[MemberRun]:
    """Return the tasks that a run has given to its team, in the order in which it gave them."""
    calls = await delegations(session, run.agent_run_id)
    ids = [child_run_id(call.call_id) for call in calls]
    children = await AgentRunRepository(session).of_ids(ids)
    found = []
    for call, child_id in zip(calls, ids, strict=True):
        child = children.get(child_id)
        hand_over = None if child is None else await hand_over_of(session, child)
        found.append(MemberRun(call, child, hand_over))
    return found


async def hand_over_of(session: AsyncSession, child: AgentRun) -> ToolCall | None:
    """Return the call by which a run passed its task on; None if it did not."""
    calls = await ToolCallRepository(session).of_run(child.agent_run_id)
    done = (
        call
        for call in calls
        if call.tool == HAND_OVER and call.tool_call_status == ToolCallStatus.DONE
    )
    return next(done, None)
