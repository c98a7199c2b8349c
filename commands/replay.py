"""Replays a recorded workflow history with the current workflow code."""

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
from adapters.temporal.errors import ConnectError
from bootstrap.workers import workflow_runner
from commands.replay_report import describe_difference, differing_activity_type
from commands.targets import TargetError, find_temporal
from config import TemporalSettings
from domain.errors import InvalidInputError, NotFoundError
from workflows.registry import WORKFLOWS

RECORDER = "recorder"
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
) -> int:
    """Replay a workflow's history or a history file, and print the result.

    Args:
        target: A workflow id, or the path of a history file.
        stack: `stack.json` of a running stack, or its folder; None takes the settings.
        record_path: File to save the history to; None saves nothing.
        environ: The settings as environment variables.

    Returns:
        Exit code: 0 if the history replays, 1 if it differs, 2 if there is no such history.
    """
    console, errors = Console(soft_wrap=True), Console(soft_wrap=True, stderr=True)
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the result is printed below
    try:
        history = await _load_history(target, stack, environ)
        result = await replay(history)
    except (NotFoundError, InvalidInputError) as error:
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


async def _load_history(
    target: str,
    stack: Path | None,
    environ: Mapping[str, str],
) -> WorkflowHistory:
    path = Path(target)
    if path.suffix == ".json" or path.is_file():  # noqa: ASYNC240 - once, at the start
        return read_history(path)
    try:
        temporal = find_temporal(stack, environ)
    except TargetError as error:
        reason = "; ".join(map(str, error.args))
        raise NotFoundError(
            f"cannot look for the workflow {target}: {reason}. The name of a history file must "
            "end in .json",
        ) from error
    return await fetch_history(temporal, target)


def read_history(path: Path) -> WorkflowHistory:
    """Read a history from a JSON file of `temporal workflow show --output json` or of the API.

    Args:
        path: The history file.

    Returns:
        The history; its workflow id is the file's name without the extension.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: The file does not hold a workflow history.
    """
    try:
        return WorkflowHistory.from_json(path.stem, path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{path} does not hold a workflow history: {error}") from error


async def fetch_history(temporal: TemporalSettings, workflow_id: str) -> WorkflowHistory:
    """Fetch the history of a workflow's newest run.

    Args:
        temporal: Address, namespace and credentials of Temporal.
        workflow_id: Workflow whose history to fetch.

    Returns:
        The history so far; the workflow may still be running.

    Raises:
        NotFoundError: There is no such workflow.
        ConnectError: Temporal cannot be reached.
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
    known = {_name(workflow) for workflow in workflows}
    if workflow_type not in known:
        names = ", ".join(sorted(known))
        raise InvalidInputError(
            f"{workflow_type} is not a workflow of this project; there are {names}"
        )
    failure = await _replay_failure(history, workflows)
    difference = None
    if failure is not None:
        event_id = await _find_differing_event(history, workflows, failure)
        difference = describe_difference(history, failure, event_id)
    return ReplayResult(workflow_type, len(document["events"]), difference)


async def _replay_failure(
    history: WorkflowHistory,
    workflows: tuple[type, ...],
) -> Exception | None:
    replayer = Replayer(
        workflows=workflows,
        workflow_runner=workflow_runner(is_sandboxed=True),
        data_converter=pydantic_data_converter,
        runtime=_runtime(),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
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


def record(history: WorkflowHistory, path: Path) -> None:
    """Save a history as a test case, without stack traces and worker identities.

    Args:
        history: The history to save.
        path: File to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    document = _anonymized(history.to_json_dict())
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _anonymized(value: Any) -> Any:
    if isinstance(value, list):
        return [_anonymized(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _anonymized(entry) for name, entry in value.items() if name != "stackTrace"}
    if "identity" in fields:
        fields["identity"] = RECORDER
    if fields.get("kind") == "TASK_QUEUE_KIND_STICKY":
        fields["name"] = RECORDER
    return fields


@cache
def _runtime() -> Runtime:
    return Runtime(telemetry=TelemetryConfig(logging=_QUIET))


def _workflow_type(document: dict[str, Any]) -> str:
    try:
        name: str = document["events"][0][_STARTED]["workflowType"]["name"]
    except (IndexError, KeyError) as error:
        raise InvalidInputError(
            "the first event of this history is not the start of a workflow"
        ) from error
    return name


def _name(workflow: type) -> str:
    definition: Any = vars(workflow)["__temporal_workflow_definition"]
    return str(definition.name)
