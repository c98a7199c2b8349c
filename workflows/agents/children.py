"""Runs the members of a team as child workflows, several at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from domain.agents.patterns import (
        DELEGATE,
        MEMBER_FAILED,
        QUORUM_NOT_REACHED,
        MemberEnd,
        failure_of_members,
        is_decided,
    )
    from domain.agents.routes import Member, TeamRules
    from domain.agents.runs import (
        CLOSED,
        CallRef,
        ParentRun,
        RunRequest,
        RunStart,
        RunStatus,
    )
    from domain.ids import agent_run_workflow_id, child_run_id, derived_id
    from domain.workflow_names import AGENT_RUN_WORKFLOW
    from workflows.agents import activity_calls
    from workflows.agents.state import RunState
    from workflows.search_attributes import starting_attributes

FIRST_LOOK = timedelta(seconds=1)
LAST_LOOK = timedelta(minutes=1)
_MESSAGES = {
    MEMBER_FAILED: "a member of the team did not complete its task",
    QUORUM_NOT_REACHED: "too few members of the team completed their tasks",
}


async def run_members(run: RunState, calls: Sequence[CallRef]) -> str | None:
    """Run the members that a step's calls of `delegate` name, until all have ended.

    As soon as members that failed have decided the step, the others are canceled.

    Args:
        run: The run that leads the team.
        calls: Calls of the step; those that name no member are left out.

    Returns:
        The code of the error that the run ends with; None if it goes on.
    """
    team = run.start.route.team
    tasks = _start_members(run, team, calls) if team else {}
    if team is None or not tasks:
        return None
    ends: list[MemberEnd] = []
    working = list(tasks)
    while working:
        done, working = await workflow.wait(working, return_when=asyncio.FIRST_COMPLETED)
        ends += [_end_of(task, tasks[task]) for task in done]
        if is_decided(team, len(tasks), ends):
            for task in working:
                task.cancel()
    return failure_of_members(team, ends)


def error_of_members(code: str) -> ApplicationError:
    """Return the error of a run whose members did not complete."""
    message = _MESSAGES.get(code, "the members have used up the budget")
    return ApplicationError(message, type=code, non_retryable=True)


async def cancel_members(run: RunState) -> None:
    """Cancel the members of a run that still work, and wait until they have ended."""
    for task in run.members:
        task.cancel()
    for task in run.members:
        # Reason: what a member fails with must not keep the run from recording its end.
        with suppress(asyncio.CancelledError, FailureError):
            await task


def _start_members(
    run: RunState, team: TeamRules, calls: Sequence[CallRef]
) -> "dict[asyncio.Task[RunStatus], str]":
    """Start the members; those beyond the limit wait for one of the others."""
    slots = asyncio.Semaphore(team.max_parallel)
    tasks: dict[asyncio.Task[RunStatus], str] = {}
    for call in calls:
        member = run.start.route.member(call.agent)
        if call.tool == DELEGATE and member is not None:
            task = asyncio.create_task(_run_member(run, team, member, call, slots))
            tasks[task] = member.agent
    run.members = list(tasks)
    return tasks


def _end_of(task: "asyncio.Task[RunStatus]", agent: str) -> MemberEnd:
    status = RunStatus.CANCELED if task.cancelled() else task.result()
    return MemberEnd(agent=agent, run_status=status)


async def _run_member(
    run: RunState, team: TeamRules, member: Member, call: CallRef, slots: asyncio.Semaphore
) -> RunStatus:
    """Run one member, and return how it ended; one that was refused or lost has failed."""
    start = _start_of(run, team, member, call)
    workflow_id = agent_run_workflow_id(start.request.agent_run_id)
    async with slots:
        try:
            status: RunStatus = await workflow.execute_child_workflow(
                AGENT_RUN_WORKFLOW,
                start,
                id=workflow_id,
                result_type=RunStatus,
                # Reason: a child that is told so ends by itself, and records its end.
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                static_summary=f"{member.agent}, for {run.start.request.agent}",
                search_attributes=starting_attributes(
                    user_id=start.request.user_id, status=RunStatus.RUNNING
                ),
            )
        except ChildWorkflowError:
            return RunStatus.FAILED
        except WorkflowAlreadyStartedError:
            # Reason: this workflow was reset after it had started the child.
            return await _wait_for_end(run, start.request)
        else:
            return status


async def _wait_for_end(run: RunState, request: RunRequest) -> RunStatus:
    """Wait for the end of a child that an earlier execution of this workflow started."""
    pause = FIRST_LOOK
    while True:
        status = await activity_calls.read_run_status(run, request)
        if status is None or status in CLOSED:
            return status or RunStatus.FAILED
        await workflow.sleep(pause, summary="wait for a member of the team")
        pause = min(2 * pause, LAST_LOOK)


def _start_of(run: RunState, team: TeamRules, member: Member, call: CallRef) -> RunStart:
    """Return the start of a member's run; its task is read from the database as it opens."""
    leader = run.start.request
    agent_run_id = child_run_id(call.call_id)
    root_run_id = leader.parent.root_run_id if leader.parent else leader.agent_run_id
    request = RunRequest(
        agent_run_id=agent_run_id,
        user_id=leader.user_id,
        agent=member.agent,
        prompt_version=member.prompt_version,
        input="",
        conversation_id=derived_id("conversation", agent_run_id),
        budget=team.member_budget,
        urgency=leader.urgency,
        parent=ParentRun(
            agent_run_id=leader.agent_run_id, root_run_id=root_run_id, call_id=call.call_id
        ),
    )
    return RunStart(
        request=request,
        route=member.route,
        continue_as_new_after=run.start.continue_as_new_after,
        revision=run.start.revision,
    )
