"""Replay: would today's code have taken every step that a history recorded?"""

import json
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
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from adapters.temporal.client import connect
from bootstrap.workers import workflow_runner
from commands.replay_report import culprit_type, say_difference
from commands.targets import TargetError, find_temporal
from config import TemporalSettings
from domain.errors import InvalidInputError, NotFoundError
from workflows.registry import WORKFLOWS

RECORDER = "recorder"
_STARTED = "workflowExecutionStartedEventAttributes"
# Reason: the result is ours to tell; the SDK would print it first, in Rust.
_QUIET = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))


class ReplayResult(NamedTuple):
    """What a replay found.

    Args:
        workflow_type: Whose history it is.
        event_count: How long it is.
        difference: The first step that today's code would not take; None if there is none.
    """

    workflow_type: str
    event_count: int
    difference: str | None


async def replay_command(
    target: str,
    stack: Path | None,
    kept: Path | None,
    environ: Mapping[str, str],
) -> int:
    """Replay a workflow or a file, and print the result.

    Args:
        target: A workflow id, or a file's path.
        stack: `stack.json` of a running stack, or its folder; None looks where settings say.
        kept: Where to keep the history; None keeps nothing.
        environ: The settings as environment variables.

    Returns:
        0 if it replays, 1 if it differs, 2 if there is no such history.
    """
    console = Console(soft_wrap=True)
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the result is ours to tell
    try:
        history = await _find(target, stack, environ)
        result = await replay(history)
    except (NotFoundError, InvalidInputError) as error:
        console.print(f"[red]{escape(error.message)}[/]")
        return 2
    except RuntimeError as error:
        console.print(f"[red]Temporal cannot be reached: {escape(str(error))}[/]")
        return 2
    about = f"{result.workflow_type}, {result.event_count} events"
    if result.difference is not None:
        console.print(
            f"[red]{about}: today's code would go another way:\n{escape(result.difference)}[/]"
        )
        return 1
    if kept is not None:
        record(history, kept)
        console.print(f"kept as {kept.name}")
    console.print(f"[green]{about}: today's code takes every step of it[/]")
    return 0


async def _find(target: str, stack: Path | None, environ: Mapping[str, str]) -> WorkflowHistory:
    path = Path(target)
    if path.suffix == ".json" or path.is_file():  # noqa: ASYNC240 - once, at the start
        return read_history(path)
    try:
        temporal = find_temporal(stack, environ)
    except TargetError as error:
        because = "; ".join(map(str, error.args))
        raise NotFoundError(
            f"cannot look for {target}: {because}. A file's name would end in .json",
        ) from error
    return await fetch_history(temporal, target)


def read_history(path: Path) -> WorkflowHistory:
    """Read a history as `temporal workflow show --output json` and our API write it.

    Args:
        path: The file.

    Returns:
        The history, with its name for an id.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: It holds no history.
    """
    try:
        return WorkflowHistory.from_json(path.stem, path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{path} holds no workflow history: {error}") from error


async def fetch_history(temporal: TemporalSettings, workflow_id: str) -> WorkflowHistory:
    """Fetch the history of a workflow's newest run.

    Args:
        temporal: Where Temporal is, and how to log in.
        workflow_id: Which one.

    Returns:
        The history up to now; the workflow may still be running.

    Raises:
        NotFoundError: There is no such workflow.
        RuntimeError: Temporal cannot be reached.
    """
    client = await connect(
        temporal.address,
        temporal.namespace,
        temporal.api_key.get_secret_value() if temporal.api_key else None,
        is_tls=temporal.is_tls,
    )
    try:
        return await client.get_workflow_handle(workflow_id).fetch_history()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFoundError(
                f"there is no workflow {workflow_id} at {temporal.address}"
            ) from error
        raise


async def replay(history: WorkflowHistory, workflows: tuple[type, ...] = WORKFLOWS) -> ReplayResult:
    """Replay a history in the sandbox.

    Args:
        history: What was recorded.
        workflows: The code to try; today's registry unless a test plants another.

    Returns:
        The result.

    Raises:
        InvalidInputError: No workflow of ours has this history's type.
    """
    document = history.to_json_dict()
    workflow_type = _workflow_type(document)
    known = {_name(workflow) for workflow in workflows}
    if workflow_type not in known:
        names = ", ".join(sorted(known))
        raise InvalidInputError(f"{workflow_type} is no workflow of ours; there are {names}")
    failure = await _failure(history, workflows)
    difference = None
    if failure is not None:
        at = await _find_culprit(history, workflows, failure)
        difference = say_difference(history, failure, at)
    return ReplayResult(workflow_type, len(document["events"]), difference)


async def _failure(history: WorkflowHistory, workflows: tuple[type, ...]) -> Exception | None:
    replayer = Replayer(
        workflows=workflows,
        workflow_runner=workflow_runner(is_sandboxed=True),
        data_converter=pydantic_data_converter,
        runtime=_runtime(),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure


async def _find_culprit(
    history: WorkflowHistory,
    workflows: tuple[type, ...],
    failure: Exception,
) -> int | None:
    """Return the number of the event that differs, where the failure names only its type."""
    recorded = culprit_type(failure)
    for index, event in enumerate(history.events):
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        if recorded is None or name != recorded:
            continue
        # Reason: the same type may stand at many places; the first short history that fails has it.
        shorter = WorkflowHistory(history.workflow_id, _until_next_task(history, index))
        if await _failure(shorter, workflows) is not None:
            return int(event.event_id)
    return None


def _until_next_task(history: WorkflowHistory, index: int) -> Sequence[HistoryEvent]:
    for later, event in enumerate(history.events[index:], start=index):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            return history.events[:later]
    return history.events


def record(history: WorkflowHistory, path: Path) -> None:
    """Keep a history as a test, without the names of the machine that it ran on.

    Args:
        history: What to keep.
        path: Where to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    document = _without_machine(history.to_json_dict())
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _without_machine(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_machine(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_machine(entry) for name, entry in value.items() if name != "stackTrace"}
    if "identity" in kept:
        kept["identity"] = RECORDER
    if kept.get("kind") == "TASK_QUEUE_KIND_STICKY":
        kept["name"] = RECORDER
    return kept


@cache
def _runtime() -> Runtime:
    return Runtime(telemetry=TelemetryConfig(logging=_QUIET))


def _workflow_type(document: dict[str, Any]) -> str:
    try:
        name: str = document["events"][0][_STARTED]["workflowType"]["name"]
    except (IndexError, KeyError) as error:
        raise InvalidInputError("this history does not begin with a start") from error
    return name


def _name(workflow: type) -> str:
    definition: Any = vars(workflow)["__temporal_workflow_definition"]
    return str(definition.name)
