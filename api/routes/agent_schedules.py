"""Routes for schedules that start runs of agents."""

from typing import Any
from uuid import UUID

from fastapi.responses import JSONResponse
from temporalio.client import Client, ScheduleSpec

from adapters.temporal.schedules import (
    DeclaredSchedule,
    delete_schedule,
    next_times,
    put_schedule,
)
from agents.limits import check_input
from agents.registry import find_agent
from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep, TemporalDep, ToolsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404, resolve_user_id
from api.openapi.problems import (
    INPUT_TOO_LONG,
    INVALID_CRON,
    TEMPORAL_DOWN,
    UNKNOWN_TIME_ZONE,
    no_such,
    problems,
)
from api.schemas.agent_schedules import (
    AgentScheduleChangeIn,
    AgentScheduleOut,
    AgentScheduleTimesOut,
    NewAgentSchedule,
)
from api.schemas.common import Listing
from database.agents.models import RunSchedule
from database.agents.run_schedules import RunScheduleRepository
from database.session import Sessions
from domain.agents.schedules import (
    MAX_SCHEDULES,
    ScheduledRunStart,
    check_times,
    schedule_id,
    too_many_schedules_error,
)
from domain.workflow_names import AGENTS
from services.agents.tools.catalog import ToolCatalog
from workflows.agents.scheduled_run import ScheduledRunWorkflow

router = ApiRouter(prefix="/agent-schedules", tags=["agent-schedules"])

SCHEDULE = "schedule"
_REFUSALS = (INVALID_CRON, UNKNOWN_TIME_ZONE, INPUT_TOO_LONG, TEMPORAL_DOWN)


@router.post(
    "",
    status_code=201,
    response_model=AgentScheduleOut,
    responses=problems(
        no_such("agent", "unknown_agent"), no_such("user"), too_many_schedules_error(), *_REFUSALS
    ),
)
async def create_agent_schedule(
    body: NewAgentSchedule,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a schedule. At each of its times a run starts, unless the one before still goes on."""
    user_id = await resolve_user_id(sessions, caller, body.user_id)
    _check_input(body.agent, body.input, tools)
    cron = check_times(body.cron, body.time_zone)

    async def work(claim: Claim) -> AgentScheduleOut:
        async with sessions.begin() as session:
            schedules = RunScheduleRepository(session)
            row = await schedules.get(claim.resource_id, user_id)
            if row is None:
                if await schedules.count(user_id) >= MAX_SCHEDULES:
                    raise too_many_schedules_error()
                await schedules.add(_columns(claim.resource_id, user_id, body, cron))
                row = or_404(await schedules.get(claim.resource_id, user_id), SCHEDULE)
            # Reason: times that Temporal does not take leave no row behind.
            await _put(temporal, row)
        return AgentScheduleOut.of(row)

    return await once.run(caller.user_id, work, status=201, location="run_schedule_id")


@router.get("", responses=problems(no_such("user")))
async def list_agent_schedules(
    scope: ScopeDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[AgentScheduleOut]:
    """List schedules, newest first."""
    async with sessions() as session:
        page = await RunScheduleRepository(session).list(scope, paging.limit, paging.cursor)
    return Listing[AgentScheduleOut].of(page, AgentScheduleOut.of)


@router.get("/{run_schedule_id}", responses=problems(no_such(SCHEDULE), TEMPORAL_DOWN))
async def get_agent_schedule(
    run_schedule_id: UUID, caller: CallerDep, sessions: SessionsDep, temporal: TemporalDep
) -> AgentScheduleTimesOut:
    """Return a schedule with its next times."""
    row = await _read(sessions, run_schedule_id, caller.scope)
    times = await next_times(temporal, schedule_id(run_schedule_id)) if row.is_active else []
    return AgentScheduleTimesOut(**AgentScheduleOut.of(row).model_dump(), next_times=times)


@router.patch("/{run_schedule_id}", responses=problems(no_such(SCHEDULE), *_REFUSALS))
async def change_agent_schedule(
    run_schedule_id: UUID,
    body: AgentScheduleChangeIn,
    caller: CallerDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
    tools: ToolsDep,
) -> AgentScheduleOut:
    """Change, pause or resume a schedule. A run that is under way goes on."""
    row = await _read(sessions, run_schedule_id, caller.scope)
    changes: dict[str, Any] = body.model_dump(exclude_none=True)
    if "input" in changes:
        _check_input(row.agent, changes["input"], tools)
    cron = changes.get("cron", row.cron)
    changes["cron"] = check_times(cron, changes.get("time_zone", row.time_zone))
    async with sessions.begin() as session:
        schedules = RunScheduleRepository(session)
        await schedules.change(run_schedule_id, changes)
        session.expire_all()
        row = or_404(await schedules.get(run_schedule_id, caller.scope), SCHEDULE)
        await _put(temporal, row)
    return AgentScheduleOut.of(row)


@router.delete(
    "/{run_schedule_id}", status_code=204, responses=problems(no_such(SCHEDULE), TEMPORAL_DOWN)
)
async def delete_agent_schedule(
    run_schedule_id: UUID, caller: CallerDep, sessions: SessionsDep, temporal: TemporalDep
) -> None:
    """Delete a schedule. Its runs stay, and one that is under way goes on."""
    await _read(sessions, run_schedule_id, caller.scope)
    await delete_schedule(temporal, schedule_id(run_schedule_id))
    async with sessions.begin() as session:
        await RunScheduleRepository(session).delete(run_schedule_id)


async def _read(sessions: Sessions, run_schedule_id: UUID, scope: UUID | None) -> RunSchedule:
    async with sessions() as session:
        row = await RunScheduleRepository(session).get(run_schedule_id, scope)
    return or_404(row, SCHEDULE)


def _check_input(agent: str, text: str, tools: ToolCatalog) -> None:
    spec = find_agent(agent)
    check_input(text, spec, spec.prompt_version, tools.definitions(spec.tool_names))


async def _put(temporal: Client, row: RunSchedule) -> None:
    """Make Temporal's schedule as the row says."""
    declared = DeclaredSchedule(
        schedule_id=schedule_id(row.run_schedule_id),
        run=ScheduledRunWorkflow.run,
        argument=ScheduledRunStart(run_schedule_id=row.run_schedule_id),
        task_queue=AGENTS,
        spec=ScheduleSpec(cron_expressions=[row.cron], time_zone_name=row.time_zone),
        summary=f"agent {row.agent}, user {row.user_id}",
    )
    await put_schedule(temporal, declared, is_paused=not row.is_active)


def _columns(
    run_schedule_id: UUID, user_id: UUID, body: NewAgentSchedule, cron: str
) -> dict[str, Any]:
    return {
        "run_schedule_id": run_schedule_id,
        "user_id": user_id,
        "agent": body.agent,
        "input": body.input,
        "cron": cron,
        "time_zone": body.time_zone,
        "is_active": body.is_active,
        "budget_token_count": body.budget.token_count,
        "budget_cost_cents": body.budget.cost_cents,
        "on_budget": body.on_budget,
    }
