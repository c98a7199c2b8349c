"""Runs one of the short requests to Stripe, and waits for its result."""

import asyncio

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from adapters.temporal.calls import CALL_TIMEOUT, PENDING, start_once
from adapters.temporal.errors import from_temporal
from domain.errors import OutcomePendingError
from domain.ids import stripe_operation_workflow_id
from domain.stripe_operations import StripeOperation, StripeOperationResult
from workflows.search_attributes import starting_attributes
from workflows.stripe_operation import StripeErrandWorkflow


async def run_operation(
    temporal: Client, errand: StripeOperation, summary: str
) -> StripeOperationResult:
    """Have one of Stripe's small jobs done, and wait for it.

    Raises:
        OutcomePendingError: It takes longer than 5 s; it goes on.
        ApplicationError: Stripe refused it, or something is down.
    """
    workflow_id = stripe_operation_workflow_id(errand.errand_id)
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            await start_once(
                temporal,
                StripeErrandWorkflow.run,
                errand,
                workflow_id=workflow_id,
                summary=summary,
                search_attributes=starting_attributes(user_id=errand.user_id),
            )
            handle = temporal.get_workflow_handle_for(StripeErrandWorkflow.run, workflow_id)
            return await handle.result(rpc_timeout=CALL_TIMEOUT)
    except TimeoutError as error:
        raise OutcomePendingError(PENDING) from error
    except TemporalError as error:
        raise from_temporal(error) from error
