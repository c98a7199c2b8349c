"""Runs a short operation at Stripe in a workflow, and waits for its result."""

import asyncio
from uuid import UUID

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from adapters.temporal.calls import CALL_TIMEOUT, PENDING, start_workflow_once
from adapters.temporal.errors import from_temporal
from domain.errors import OutcomePendingError
from domain.ids import stripe_operation_workflow_id
from domain.stripe_operations import AnyStripeOperation, StripeOperationResult
from workflows.search_attributes import starting_attributes
from workflows.stripe_operation import StripeOperationWorkflow


async def run_operation(
    temporal: Client,
    operation: AnyStripeOperation,
    summary: str,
    user_id: UUID | None = None,
) -> StripeOperationResult:
    """Run a short operation at Stripe, and wait for its result.

    Args:
        temporal: Client of Temporal.
        operation: Operation to run.
        summary: Summary of the workflow in the Web UI.
        user_id: User whom the operation is for; None for an operation on a plan.

    Raises:
        OutcomePendingError: The operation takes longer than 5 s; it goes on.
        ApplicationError: Stripe refused the operation, or a system cannot be reached.
    """
    workflow_id = stripe_operation_workflow_id(operation.operation_id)
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            await start_workflow_once(
                temporal,
                StripeOperationWorkflow.run,
                operation,
                workflow_id=workflow_id,
                summary=summary,
                search_attributes=starting_attributes(user_id=user_id),
            )
            handle = temporal.get_workflow_handle(workflow_id, result_type=StripeOperationResult)
            result: StripeOperationResult = await handle.result(rpc_timeout=CALL_TIMEOUT)
            return result
    except TimeoutError as error:
        ids = {"operation_id": str(operation.operation_id), "workflow_id": workflow_id}
        raise OutcomePendingError(PENDING, details=ids) from error
    except TemporalError as error:
        raise from_temporal(error) from error
