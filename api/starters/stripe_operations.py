"""Runs one of the short requests to Stripe, and waits for its result."""

import asyncio
from uuid import UUID

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from adapters.temporal.calls import CALL_TIMEOUT, PENDING, start_once
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
    """Run a short request to Stripe, and wait for its result.

    Args:
        temporal: Where it runs.
        operation: What to do.
        summary: For the Web UI.
        user_id: For whom; None for what belongs to nobody.

    Raises:
        OutcomePendingError: It takes longer than 5 s, and goes on.
        ApplicationError: Stripe refused it, or something is down.
    """
    workflow_id = stripe_operation_workflow_id(operation.operation_id)
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            await start_once(
                temporal,
                StripeOperationWorkflow.run,
                operation,
                workflow_id=workflow_id,
                summary=summary,
                search_attributes=starting_attributes(user_id=user_id),
            )
            handle = temporal.get_workflow_handle_for(StripeOperationWorkflow.run, workflow_id)
            return await handle.result(rpc_timeout=CALL_TIMEOUT)
    except TimeoutError as error:
        raise OutcomePendingError(PENDING) from error
    except TemporalError as error:
        raise from_temporal(error) from error
