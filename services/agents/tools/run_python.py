"""Tool `run_python`: runs Python in a sandbox; what it puts into `outputs` becomes files."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.python_sandbox import Script, ScriptResult
from agents.tools.run_python import RUN_PYTHON, RunPython
from database.agents.artifacts import ArtifactRepository
from database.agents.models import AgentRun, ToolCall
from domain.agents.artifacts import NewArtifact, text_of
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import InvalidInputError, NotFoundError
from services.agents.artifacts.storage import store_artifacts
from services.agents.tools.catalog import Effect, Tool, ToolResources

# Characters of what a script printed, from its end, that its error comes with.
_PRINTED_BEFORE_ERROR = 2_000
# Files that are named to a model that asks for one that is not there.
_NAMED_FILES = 50


async def run_python(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
    """Run a script, and store the files that it makes, once.

    Whatever is wrong with the script is a result that the model reads.

    Raises:
        NotFoundError: The conversation has no file of one of the names (`unknown_artifact`).
        UnavailableError: The sandbox cannot be started.
    """
    wanted = RunPython.model_validate(call.arguments_data)
    files = await _read_files(resources, run, call, wanted.files)
    # Reason: with the same clock and the same random numbers, a repeated call makes the same files.
    script = Script(wanted.code, {**files, **wanted.texts}, call.created_at, str(call.call_id))
    result = await resources.python.run(script)
    if result.error is not None:
        error = {"code": result.error.code, "message": result.error.message}
        line = {} if result.error.line is None else {"line": result.error.line}
        return Effect(ToolCallStatus.FAILED, {**error, **line, **_printed_before_error(result)})
    made = [NewArtifact(name, content) for name, content in result.outputs.items()]
    try:
        async with resources.sessions.begin() as session:
            stored = await store_artifacts(session, run, call.call_id, made)
    except InvalidInputError as refused:
        error = {"code": refused.error_code, "message": refused.message}
        return Effect(ToolCallStatus.FAILED, {**error, **_printed_before_error(result)})
    return Effect(ToolCallStatus.DONE, {"artifacts": stored, "printed": result.printed})


async def _read_files(
    resources: ToolResources, run: AgentRun, call: ToolCall, names: Sequence[str]
) -> Mapping[str, str | bytes]:
    """Return the newest files of these names that were there when the model asked for the call."""
    if not names:
        return {}
    async with resources.sessions() as session:
        artifacts = ArtifactRepository(session)
        rows = await artifacts.newest_named(run, names, call.created_at)
        known = await artifacts.names(run, _NAMED_FILES) if len(rows) < len(names) else ()
    found = {row.name: row.content for row in rows}
    if missing := [name for name in names if name not in found]:
        message = (
            f"this conversation has no file {', '.join(missing)}; it has: "
            f"{', '.join(known) or 'none'}"
        )
        raise NotFoundError(message, "unknown_artifact")
    return {
        name: content if (text := text_of(content)) is None else text
        for name, content in found.items()
    }


def _printed_before_error(result: ScriptResult) -> dict[str, Any]:
    return {"printed": result.printed[-_PRINTED_BEFORE_ERROR:]}


RUN_PYTHON_TOOL = Tool(RUN_PYTHON, run_python)
