"""Sends a command to a workflow, and explains why an ended workflow cannot take it."""

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
        handle: Handle of the workflow.
        update: Update method of the workflow.
        argument: Argument of the update.
        command_id: Id of the update; the same whenever the same command is sent again.
        refusal: Reads the row of an ended workflow; returns the error to raise if the row is
            closed too, else None.
        within: How long to wait for the answer.

    Raises:
        IllegalCommandError: The subscription, payment retry or run is closed.
        WorkflowMissingError: The workflow does not run although its row is open.
        OutcomePendingError: No answer came in time; the command goes on.
        ApplicationError: The command was refused, or Temporal cannot be reached.
    """
    try:
        return await send_update(handle, update, argument, command_id, within)
    except WorkflowEndedError as error:
        refused = await refusal()
        if refused is not None:
            raise refused from error
        raise WorkflowMissingError("the workflow is not running") from error
