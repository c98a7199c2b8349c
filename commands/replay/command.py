"""Replays a recorded workflow history with the current workflow code."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import Replayer

from adapters.temporal.errors import ConnectError
from bootstrap.workers import workflow_runner
from commands.replay.histories import find_history, record
from commands.replay.report import describe_difference, differing_activity_type
from domain.errors import ApplicationError, InvalidInputError
from workflows.registry import WORKFLOWS

_STARTED = "workflowExecutionStartedEventAttributes"
# Reason: the command prints the result itself; the SDK's Rust core would log it first.
_QUIET = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))


class ReplayResult(NamedTuple):
    """The result of a replay.

    Args:
        workflow_type: Workflow type of the history.
        event_count: Number of events in the history.
        difference: The first step that the current code does not take; None if it takes all.
    """

    workflow_type: str
    event_count: int
    difference: str | None


async def replay_command(
    target: str,
    stack: Path | None,
    record_path: Path | None,
    environ: Mapping[str, str],
    run_id: str | None = None,
) -> int:
    """Replay a workflow's history or a history file, and print the result.

    Args:
        target: The path of a history file, or an id: of a workflow, or of the subscription,
            payment, payment retry, agent run, document or Stripe operation that it belongs to.
        stack: `stack.json` of a running stack, or its folder; None takes the settings.
        record_path: File to save the history to; None saves nothing.
        environ: The settings as environment variables.
        run_id: Run of the workflow; None takes the newest run.

    Returns:
        Exit code: 0 if the history replays, 1 if it differs, 2 if there is no such history.
    """
    console, errors = Console(soft_wrap=True), Console(soft_wrap=True, stderr=True)
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the result is printed below
    try:
        history = await find_history(target, stack, environ, run_id)
        result = await replay(history)
    except ApplicationError as error:
        errors.print(f"[red]error: {escape(error.message)}[/]")
        return 2
    except ConnectError as error:
        errors.print(f"[red]error: {escape(str(error))}[/]")
        return 2
    label = f"{result.workflow_type}, {result.event_count} events"
    if result.difference is not None:
        console.print(
            f"[red]{label}: the current code differs from the history:\n"
            f"{escape(result.difference)}[/]"
        )
        return 1
    if record_path is not None:
        record(history, record_path)
        console.print(f"saved as {record_path.name}")
    console.print(f"[green]{label}: the current code replays all of them[/]")
    return 0


async def replay(history: WorkflowHistory, workflows: tuple[type, ...] = WORKFLOWS) -> ReplayResult:
    """Replay a history in Temporal's workflow sandbox.

    Args:
        history: The recorded history.
        workflows: Workflow classes to replay with; tests pass changed ones.

    Returns:
        The result, with the first difference.

    Raises:
        InvalidInputError: None of the workflow classes has the history's workflow type.
    """
    document = history.to_json_dict()
    workflow_type = _workflow_type(document)
    known = {type_name(workflow) for workflow in workflows}
    if workflow_type not in known:
        names = ", ".join(sorted(known))
        raise InvalidInputError(
            f"{workflow_type} is not a workflow of this project; there are {names}"
        )
    failure = await _replay_failure(history, workflows)
    difference = None if failure is None else await describe_failure(history, workflows, failure)
    return ReplayResult(workflow_type, len(document["events"]), difference)


async def describe_failure(
    history: WorkflowHistory,
    workflows: tuple[type, ...],
    failure: Exception,
) -> str:
    """Describe the first difference between a history and workflow classes.

    Args:
        history: The history that was replayed.
        workflows: The workflow classes.
        failure: The error that the SDK's replayer returned.
    """
    event_id = await _find_differing_event(history, workflows, failure)
    return describe_difference(history, failure, event_id)


def make_replayer(workflows: tuple[type, ...]) -> Replayer:
    """Make the SDK's replayer, with Temporal's workflow sandbox."""
    return Replayer(
        workflows=workflows,
        workflow_runner=workflow_runner(is_sandboxed=True),
        data_converter=pydantic_data_converter,
        runtime=_runtime(),
    )


async def _replay_failure(
    history: WorkflowHistory,
    workflows: tuple[type, ...],
) -> Exception | None:
    result = await make_replayer(workflows).replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure


async def _find_differing_event(
    history: WorkflowHistory,
    workflows: tuple[type, ...],
    failure: Exception,
) -> int | None:
    """Return the id of the event that differs, if the failure names only its activity type."""
    recorded = differing_activity_type(failure)
    for index, event in enumerate(history.events):
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        if recorded is None or name != recorded:
            continue
        # Reason: several events may have this type; the first prefix of the history that does not
        # replay ends with the differing one.
        prefix = WorkflowHistory(history.workflow_id, _events_before_next_task(history, index))
        if await _replay_failure(prefix, workflows) is not None:
            return int(event.event_id)
    return None


def _events_before_next_task(history: WorkflowHistory, index: int) -> Sequence[HistoryEvent]:
    for later, event in enumerate(history.events[index:], start=index):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            return history.events[:later]
    return history.events


@cache
def _runtime() -> Runtime:
    return Runtime(telemetry=TelemetryConfig(logging=_QUIET))


def _workflow_type(document: dict[str, Any]) -> str:
    try:
        first = document["events"][0]
        # Reason: the SDK's Rust core panics at another type, and the replay then never ends.
        by_type = {"EVENT_TYPE_WORKFLOW_EXECUTION_STARTED": first[_STARTED]}
        name: str = by_type[first["eventType"]]["workflowType"]["name"]
    except (IndexError, KeyError) as error:
        raise InvalidInputError(
            "the first event of this history is not the start of a workflow"
        ) from error
    return name


def type_name(workflow: type) -> str:
    """Return the workflow type that Temporal knows a class by."""
    definition: Any = vars(workflow)["__temporal_workflow_definition"]
    return str(definition.name)
