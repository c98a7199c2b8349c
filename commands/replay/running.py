"""Replays all open workflow executions with the current code, before it is deployed."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.errors import ConnectError
from commands.replay.command import describe_failure, make_replayer, type_name
from commands.replay.histories import connect_to
from commands.targets import TargetError, find_temporal
from workflows.registry import WORKFLOWS

PAGE_SIZE = 200
# Number of executions after which a line of progress is printed.
PROGRESS_EVERY = 100


class RunningFailure(NamedTuple):
    """An open execution that the current code does not replay."""

    workflow_id: str
    run_id: str
    difference: str


class RunningResult(NamedTuple):
    """The result of replaying all open executions.

    Args:
        execution_count: Number of executions that were replayed.
        failures: Those that the current code does not replay.
    """

    execution_count: int
    failures: tuple[RunningFailure, ...]


async def replay_running_command(stack: Path | None, environ: Mapping[str, str]) -> int:
    """Replay all open executions of our workflow types, and print those that differ.

    Args:
        stack: `stack.json` of a running stack, or its folder; None takes the settings.
        environ: The settings as environment variables.

    Returns:
        Exit code: 0 if all histories replay, 1 if one differs, 2 if Temporal cannot be reached.
    """
    console = Console(soft_wrap=True, highlight=False)
    errors = Console(soft_wrap=True, highlight=False, stderr=True)
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the result is printed below
    try:
        client = await connect_to(find_temporal(stack, environ))
        result = await replay_running(client, console.print)
    except TargetError as error:
        errors.print(f"[red]error: {escape('; '.join(map(str, error.args)))}[/]")
        return 2
    except ConnectError as error:
        errors.print(f"[red]error: {escape(str(error))}[/]")
        return 2
    except RPCError as error:
        errors.print(f"[red]error: Temporal cannot be reached: {escape(str(error))}[/]")
        return 2
    for failure in result.failures:
        console.print(
            f"[red]{escape(failure.workflow_id)}, run {failure.run_id}:\n"
            f"{escape(failure.difference)}[/]"
        )
    if result.failures:
        count = f"{len(result.failures)} of {result.execution_count}"
        console.print(f"[red]{count} open executions differ from the current code[/]")
        return 1
    console.print(
        f"[green]the current code replays all open executions: {result.execution_count}[/]"
    )
    return 0


async def replay_running(
    client: Client,
    say: Callable[[str], object],
    workflows: tuple[type, ...] = WORKFLOWS,
    page_size: int = PAGE_SIZE,
) -> RunningResult:
    """Replay all open executions.

    Args:
        client: Client of the namespace that the workflows run in.
        say: Prints a line of progress.
        workflows: Workflow classes to replay with.
        page_size: Executions that are listed by one request.

    Raises:
        RPCError: Temporal cannot be reached.
    """
    types = ", ".join(f"'{type_name(workflow)}'" for workflow in workflows)
    query = f"ExecutionStatus = 'Running' AND WorkflowType IN ({types})"
    open_count = (await client.count_workflows(query)).count
    say(f"open executions: {open_count}")
    count, failures = 0, list[RunningFailure]()
    histories = _histories(client, query, page_size)
    async with make_replayer(workflows).workflow_replay_iterator(histories) as results:
        async for result in results:
            count, history = count + 1, result.history
            if result.replay_failure is not None:
                text = await describe_failure(history, workflows, result.replay_failure)
                failures.append(RunningFailure(history.workflow_id, history.run_id, text))
            if count % PROGRESS_EVERY == 0:
                say(f"replayed {count} of {max(count, open_count)}, {len(failures)} differ")
    return RunningResult(count, tuple(failures))


async def _histories(
    client: Client,
    query: str,
    page_size: int,
) -> AsyncIterator[WorkflowHistory]:
    """Yield the histories of all executions of a query, each of the run that was listed."""
    async for execution in client.list_workflows(query, page_size=page_size):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            yield await handle.fetch_history()
        except RPCError as error:
            # Reason: it may have ended, and been deleted, since it was listed.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
