"""Routes that read runs of agents."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep
from api.http.routing import ApiRouter
from api.openapi.problems import TOO_MANY_STREAMS, no_such, problems
from api.queries.agent_runs import find_agent_run, read_run, read_runs, read_steps
from api.schemas.agent_run_steps import StepOut
from api.schemas.agent_runs import AgentRunOut
from api.schemas.common import Listing, Name
from api.streaming.agent_runs import RunFeedDep
from api.streaming.long_polls import wait_until_settled
from api.streaming.watchers import WatchersDep
from database.agents.agent_runs import AgentRunRepository
from database.agents.models import AgentRun
from domain.agents.runs import RunStatus

router = ApiRouter(prefix="/agent-runs", tags=["agent-runs"])

LongPoll = Annotated[
    str,
    Query(
        pattern=r"^(?:[0-9]|1[0-9]|20)s$",
        description="How long to wait until the run has ended or waits for a person, at most"
        " `20s`. A waiting request counts as an open stream.",
        examples=["5s"],
    ),
]


async def get_own(agent_run_id: UUID, caller: CallerDep, sessions: SessionsDep) -> AgentRun:
    """Return the run in the path, or answer 404 if it is not the caller's."""
    return await find_agent_run(sessions, agent_run_id, caller.scope)


OwnDep = Annotated[AgentRun, Depends(get_own)]


@router.get("", responses=problems(no_such("user")))
async def list_agent_runs(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    run_status: RunStatus | None = None,
    agent: Name | None = None,
    conversation_id: UUID | None = None,
) -> Listing[AgentRunOut]:
    """List runs, newest first."""
    filters = {"run_status": run_status, "agent": agent, "conversation_id": conversation_id}
    async with sessions() as session:
        page = await AgentRunRepository(session).list(
            scope,
            paging.limit,
            paging.cursor,
            filters,
        )
    items = await read_runs(sessions, page.items)
    return Listing[AgentRunOut](items=items, next_cursor=page.next_cursor)


@router.get("/{agent_run_id}", responses=problems(no_such("agent run"), TOO_MANY_STREAMS))
async def get_agent_run(
    run: OwnDep,
    caller: CallerDep,
    sessions: SessionsDep,
    feed: RunFeedDep,
    watchers: WatchersDep,
    wait: LongPoll = "0s",
) -> AgentRunOut:
    """Return a run, at once or when there is something to do or to read."""
    if wait != "0s":
        await wait_until_settled(feed, watchers, caller, run, float(wait.removesuffix("s")))
        run = await find_agent_run(sessions, run.agent_run_id, caller.scope)
    return await read_run(sessions, run)


@router.get("/{agent_run_id}/children", responses=problems(no_such("agent run")))
async def list_agent_run_children(
    run: OwnDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[AgentRunOut]:
    """List the runs that a run has begun for the members of its team, newest first.

    Each may have children of its own. Their usage counts against the budget of the first run.
    """
    async with sessions() as session:
        page = await AgentRunRepository(session).children(
            run.agent_run_id, paging.limit, paging.cursor
        )
    items = await read_runs(sessions, page.items)
    return Listing[AgentRunOut](items=items, next_cursor=page.next_cursor)


@router.get("/{agent_run_id}/steps", responses=problems(no_such("agent run")))
async def list_agent_run_steps(run: OwnDep, sessions: SessionsDep) -> Listing[StepOut]:
    """List the steps of a run, with the model calls, the tool calls and the cost of each step."""
    return Listing[StepOut](items=await read_steps(sessions, run.agent_run_id))
