"""Whatever workers register is in a committed history, so that a change of it is seen."""

from pydantic import SecretStr
from temporalio import workflow

from adapters.llm.providers.settings import LLMSettings
from commands.replay.histories import read_history
from config import AuthSettings, Settings
from tests.support.histories import (
    COMMITTED,
    Name,
    activity_names,
    recorded_names,
    workflow_names,
)
from workflows.registry import WORKFLOWS


def missing(registered: set[Name]) -> list[str]:
    """Return the names that are in no committed history."""
    recorded = {name for path in COMMITTED for name in recorded_names(read_history(path))}
    return sorted(map(str, registered - recorded))


async def test_every_registered_name_is_in_a_committed_history() -> None:
    settings = Settings(
        _env_file=None,
        database_url="postgresql://nowhere/x",
        auth=AuthSettings(jwt_secret=SecretStr("x" * 32)),
        llm=LLMSettings(base_url="http://nowhere/v1"),
        chroma_url="http://nowhere",
    )
    registered = workflow_names() | await activity_names(settings)
    assert len(registered) > 50
    assert not (names := missing(registered)), f"in no committed history: {chr(10).join(names)}"


@workflow.defn
class NewWorkflow:
    @workflow.run
    async def run(self) -> None: ...

    @workflow.signal
    def nudge(self) -> None: ...

    @workflow.update
    async def adjust(self) -> None: ...


def test_a_new_workflow_is_missed_with_its_signals_and_updates() -> None:
    assert missing(workflow_names((*WORKFLOWS[:0], NewWorkflow))) == [
        "signal NewWorkflow.nudge",
        "update NewWorkflow.adjust",
        "workflow NewWorkflow",
    ]
