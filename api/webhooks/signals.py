"""Sends hints about Stripe's events to workflows: of subscriptions, payments, users and meters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.errors import from_temporal
from domain.ids import (
    derived_id,
    payment_workflow_id,
    stripe_operation_workflow_id,
    subscription_workflow_id,
)
from domain.payments.messages import PaymentStart
from domain.stripe_operations import AdoptSubscription, ReadMeterErrors, SyncCustomer
from domain.subscriptions.state import SubscriptionStart
from domain.webhooks.event_types import Handler
from domain.webhooks.events import EventOwner
from domain.workflow_names import BILLING
from workflows.payments.payment import PaymentWorkflow
from workflows.search_attributes import starting_attributes
from workflows.stripe_operation import StripeOperationWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: `rpc_timeout` does not cover the connecting of a lazy client.
CALL_SECONDS = 6.0
# Statuses of calls that Temporal will never accept.
_REFUSALS = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE})


class _Target(NamedTuple):
    """Workflow that is signaled about the events of an owner."""

    run: Callable[..., Awaitable[Any]]
    start: SubscriptionStart | PaymentStart
    workflow_id: str
    subscription_id: UUID | None = None


async def send_hint(temporal: Client, owner: EventOwner, stripe_event_ids: Sequence[str]) -> None:
    """Send one hint for several events, and start the workflow if it does not run.

    Args:
        temporal: Client of Temporal.
        owner: Owner of the events.
        stripe_event_ids: Stripe's ids of the events.

    Raises:
        TemporalError: Temporal refuses the call, or cannot be reached.
        RuntimeError: A lazy client cannot connect.
        TimeoutError: Temporal does not answer.
    """
    if owner.handler is Handler.CUSTOMER:
        await _start_customer_sync(temporal, owner, stripe_event_ids)
        return
    if owner.handler is Handler.ADOPTION:
        await _start_adoption(temporal, owner, stripe_event_ids)
        return
    if owner.handler is Handler.METER:
        await _start_meter_errors(temporal, owner, stripe_event_ids)
        return
    target = _target(owner)
    async with asyncio.timeout(CALL_SECONDS):
        await temporal.start_workflow(
            target.run,
            target.start,
            id=target.workflow_id,
            task_queue=BILLING,
            start_signal=owner.handler,
            start_signal_args=[list(stripe_event_ids)],
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=starting_attributes(
                user_id=owner.user_id,
                subscription_id=target.subscription_id,
            ),
            static_summary=f"read at Stripe after an event, {owner.stripe_id or owner.our_id}",
            rpc_timeout=RPC_TIMEOUT,
        )


def is_temporal_down(error: Exception) -> bool:
    """Return whether an error means that Temporal cannot be reached."""
    is_timeout = isinstance(error, TimeoutError)
    return is_timeout or from_temporal(error).error_code == "temporal_unavailable"


def is_transient(error: Exception) -> bool:
    """Return whether a failed call may succeed later, because of the state of Temporal."""
    if isinstance(error, RPCError):
        return error.status not in _REFUSALS
    return isinstance(error, OSError) or is_temporal_down(error)


async def _start_customer_sync(
    temporal: Client,
    owner: EventOwner,
    stripe_event_ids: Sequence[str],
) -> None:
    operation = SyncCustomer(
        operation_id=derived_id("customer-sync", owner.our_id, *sorted(stripe_event_ids)),
        resource_id=owner.our_id,
        user_id=owner.our_id,
        stripe_customer_id=owner.stripe_id,
        stripe_event_ids=tuple(stripe_event_ids),
    )
    summary = f"sync changed customer {owner.stripe_id}, user {owner.our_id}"
    await _start_operation(temporal, operation, summary, user_id=owner.user_id)


async def _start_adoption(
    temporal: Client,
    owner: EventOwner,
    stripe_event_ids: Sequence[str],
) -> None:
    # Reason: one operation at a time for each subscription; events that come while it runs are
    # due again, and then the subscription has a row.
    operation = AdoptSubscription(
        operation_id=owner.our_id,
        resource_id=owner.our_id,
        stripe_subscription_id=owner.stripe_id or "",
        stripe_event_ids=tuple(stripe_event_ids),
    )
    await _start_operation(temporal, operation, f"find the owner of {owner.stripe_id}")


async def _start_meter_errors(
    temporal: Client,
    owner: EventOwner,
    stripe_event_ids: Sequence[str],
) -> None:
    operation = ReadMeterErrors(
        operation_id=derived_id("meter-errors", owner.our_id, *sorted(stripe_event_ids)),
        resource_id=owner.our_id,
        stripe_event_ids=tuple(stripe_event_ids),
    )
    summary = f"read errors of meter {owner.stripe_id}, plan {owner.our_id}"
    await _start_operation(temporal, operation, summary, user_id=owner.user_id)


async def _start_operation(
    temporal: Client,
    operation: SyncCustomer | AdoptSubscription | ReadMeterErrors,
    summary: str,
    user_id: UUID | None = None,
) -> None:
    async with asyncio.timeout(CALL_SECONDS):
        await temporal.start_workflow(
            StripeOperationWorkflow.run,
            operation,
            id=stripe_operation_workflow_id(operation.operation_id),
            task_queue=BILLING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=starting_attributes(user_id=user_id),
            static_summary=summary,
            rpc_timeout=RPC_TIMEOUT,
        )


def _target(owner: EventOwner) -> _Target:
    if owner.handler is Handler.PAYMENT_HINT:
        return _Target(
            PaymentWorkflow.run,
            PaymentStart(payment_id=owner.our_id),
            payment_workflow_id(owner.our_id),
        )
    return _Target(
        SubscriptionWorkflow.run,
        SubscriptionStart.new(owner.our_id),
        subscription_workflow_id(owner.our_id),
        owner.our_id,
    )
