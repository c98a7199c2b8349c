"""Names that workers register, names that committed histories hold, and recording of histories."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowHistory

from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.resources import open_resources
from bootstrap.tools import make_tool_catalog
from bootstrap.workers import build_activities
from commands.replay.command import replay
from commands.replay.histories import read_history, record
from config import Settings
from workflows.registry import WORKFLOWS

HISTORIES = Path(__file__).parent.parent / "replay" / "histories"
COMMITTED = sorted(HISTORIES.glob("*.json"))
# The marker of an activity that was executed within a workflow task.
_LOCAL_ACTIVITY = "core_local_activity"
WORKFLOW, ACTIVITY, SIGNAL, UPDATE = "workflow", "activity", "signal", "update"


class Name(NamedTuple):
    """A name that Temporal keeps in histories; `owner` is the workflow of a signal or update."""

    kind: str
    name: str
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.owner}.{self.name}" if self.owner else f"{self.kind} {self.name}"


def definition(workflow: type) -> Any:
    """Return what Temporal's SDK knows of a workflow class."""
    return vars(workflow)["__temporal_workflow_definition"]


def workflow_names(workflows: tuple[type, ...] = WORKFLOWS) -> set[Name]:
    """Return the names of workflows, and of their signals and updates."""
    names = set[Name]()
    for defined in map(definition, workflows):
        names.add(Name(WORKFLOW, defined.name))
        names |= {Name(SIGNAL, str(name), defined.name) for name in defined.signals}
        names |= {Name(UPDATE, str(name), defined.name) for name in defined.updates}
    return names


async def activity_names(settings: Settings) -> set[Name]:
    """Return the names of all activities that workers register; no server is asked."""
    client = await connect_temporal(settings, is_lazy=True)
    async with (
        open_sessions(settings) as sessions,
        open_resources(client, settings, sessions, make_tool_catalog()) as resources,
    ):
        queues = build_activities(resources).values()
        return {
            Name(ACTIVITY, str(activity._Definition.must_from_callable(each).name))
            for queue in queues
            for each in queue
        }


def recorded_names(history: WorkflowHistory) -> Iterator[Name]:
    """Yield the names in a history."""
    started = history.events[0].workflow_execution_started_event_attributes
    owner = started.workflow_type.name
    yield Name(WORKFLOW, owner)
    for event in history.events:
        match event.WhichOneof("attributes"):
            case "activity_task_scheduled_event_attributes":
                scheduled = event.activity_task_scheduled_event_attributes
                yield Name(ACTIVITY, scheduled.activity_type.name)
            case "marker_recorded_event_attributes":
                marker = event.marker_recorded_event_attributes
                if marker.marker_name == _LOCAL_ACTIVITY:
                    (told,) = marker.details["data"].payloads
                    yield Name(ACTIVITY, json.loads(told.data)["activity_type"])
            case "workflow_execution_signaled_event_attributes":
                signaled = event.workflow_execution_signaled_event_attributes
                yield Name(SIGNAL, signaled.signal_name, owner)
            case "workflow_execution_update_accepted_event_attributes":
                accepted = event.workflow_execution_update_accepted_event_attributes
                yield Name(UPDATE, accepted.accepted_request.input.name, owner)


def type_of(path: Path) -> str:
    """Return the workflow type of a history file."""
    started = read_history(path).events[0].workflow_execution_started_event_attributes
    return started.workflow_type.name


async def current_run(handle: WorkflowHandle[Any, Any]) -> WorkflowHandle[Any, Any]:
    """Return a handle of the run that a workflow has now, and of no later one."""
    run_id = (await handle.describe()).run_id
    return handle._client.get_workflow_handle(handle.id, run_id=run_id)


async def keep(handle: WorkflowHandle[Any, Any], path: Path, *names: str) -> None:
    """Record the history of a run, and replay what was recorded.

    Args:
        handle: The run, named by its id: a late hint may have started another run since.
        path: File to write.
        names: Activities, signals and updates that the history is recorded for.
    """
    run_id = handle.run_id or handle.result_run_id
    assert run_id, f"name the run of {handle.id} whose history is recorded"
    run = handle._client.get_workflow_handle(handle.id, run_id=run_id)
    history = await run.fetch_history()
    recorded = {name.name for name in recorded_names(history)}
    assert set(names) <= recorded, f"{path.name} lacks {set(names) - recorded}"
    record(history, path)
    assert (await replay(read_history(path))).difference is None
