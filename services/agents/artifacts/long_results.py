"""Stores results of tools that are too long for a model as files of the run."""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun, ToolCall
from domain.agents.artifacts import MAX_FILE_BYTES, NewArtifact
from domain.errors import InvalidInputError
from services.agents.artifacts.storage import store_artifacts


async def store_result(
    session: AsyncSession, run: AgentRun, call: ToolCall, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Store a result that is too long for the model.

    Args:
        session: Transaction in which the result is stored.
        run: The run of the call.
        call: The tool call.
        result: The whole result.

    Returns:
        What the model is told: the file and whether all of the result is in it, or why there is no
        file.
    """
    document = orjson.dumps(result, option=orjson.OPT_INDENT_2)
    is_whole = len(document) <= MAX_FILE_BYTES
    kept = document[:MAX_FILE_BYTES].decode(errors="ignore").encode()
    ending = "json" if is_whole else "txt"
    file = NewArtifact(f"result-{call.step}-{call.position}.{ending}", kept)
    # Reason: whoever locks conversation and run locks the conversation first, here for the message.
    await ConversationRepository(session).lock(run.conversation_id)
    try:
        (facts,) = await store_artifacts(session, run, call.call_id, [file])
    except InvalidInputError as error:
        return {"artifact": None, "artifact_error": error.error_code}
    return {"artifact": facts, "is_whole": is_whole}
