"""Sends a command to a workflow, and tells why there is none to take it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import WorkflowHandle
from temporalio.workflow import UpdateMethodMultiParam

from adapters.temporal.calls import CALL_TIMEOUT, send_update
from domain.errors import IllegalCommandError, WorkflowEndedError, WorkflowMissingError

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
Refusal = Callable[[], Awaitable[IllegalCommandError | None]]


async def send_command(
    handle: WorkflowHandle[Any, Any],
    update: UpdateMethodMultiParam[[Any, Argument], Answer],
    argument: Argument,
    command_id: UUID,
    refusal: Refusal,
    within: timedelta = CALL_TIMEOUT,
) -> Answer:
    """Send a command to a workflow, and wait for its answer.

    Args:
        handle: Which workflow.
        update: The command.
        argument: What it takes.
        command_id: The same for the same command.
        refusal: Tells whether the workflow has ended as it should, by its row.
        within: How long to wait.

    Raises:
        IllegalCommandError: What the command is about is closed.
        WorkflowMissingError: The workflow is gone though it should run.
        OutcomePendingError: There is no answer in time; the command goes on.
        ApplicationError: The command was refused, or Temporal cannot be reached.
    """
    try:
        return await send_update(handle, update, argument, command_id, within)
    except WorkflowEndedError as error:
        refused = await refusal()
        if refused is not None:
            raise refused from error
        raise WorkflowMissingError("the workflow does not run just now") from error
