"""Signals the workflow of a subscription or a payment that Stripe has news of it."""

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
from domain.stripe_operations import SyncCustomer
from domain.subscriptions.state import SubscriptionStart
from domain.webhooks.events import Handler, Owner
from domain.workflow_names import BILLING
from workflows.payments.payment import PaymentWorkflow
from workflows.search_attributes import starting_attributes
from workflows.stripe_operation import StripeOperationWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

RPC_TIMEOUT = timedelta(seconds=5)
# Reason: `rpc_timeout` does not cover the connecting of a lazy client.
CALL_SECONDS = 6.0
# What Temporal says of a call that it will never take.
_REFUSALS = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE})


class _Target(NamedTuple):
    """The workflow that hears of an owner's events."""

    run: Callable[..., Awaitable[Any]]
    start: SubscriptionStart | PaymentStart
    workflow_id: str
    subscription_id: UUID | None = None


async def send_hint(temporal: Client, owner: Owner, stripe_event_ids: Sequence[str]) -> None:
    """Send one hint for all of these events, starting the workflow if need be.

    Args:
        temporal: The process's client.
        owner: Whose events they are.
        stripe_event_ids: Which.

    Raises:
        TemporalError: Temporal refuses the call, or cannot be reached.
        RuntimeError: A lazy client cannot connect.
        TimeoutError: Temporal does not answer.
    """
    if owner.handler is Handler.CUSTOMER:
        await _start_customer_sync(temporal, owner, stripe_event_ids)
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
            static_summary="woken by Stripe's events",
            rpc_timeout=RPC_TIMEOUT,
        )


def is_temporal_down(error: Exception) -> bool:
    """Tell whether all other calls would fail too."""
    is_timeout = isinstance(error, TimeoutError)
    return is_timeout or from_temporal(error).error_code == "temporal_unavailable"


def can_pass(error: Exception) -> bool:
    """Tell whether a failed call may be taken later, because it failed for Temporal's state."""
    if isinstance(error, RPCError):
        return error.status not in _REFUSALS
    return isinstance(error, OSError) or is_temporal_down(error)


async def _start_customer_sync(
    temporal: Client,
    owner: Owner,
    stripe_event_ids: Sequence[str],
) -> None:
    operation_id = derived_id("customer-sync", owner.our_id, *sorted(stripe_event_ids))
    operation = SyncCustomer(
        operation_id=operation_id,
        resource_id=owner.our_id,
        user_id=owner.our_id,
        stripe_customer_id=owner.stripe_id,
        stripe_event_ids=tuple(stripe_event_ids),
    )
    async with asyncio.timeout(CALL_SECONDS):
        await temporal.start_workflow(
            StripeOperationWorkflow.run,
            operation,
            id=stripe_operation_workflow_id(operation_id),
            task_queue=BILLING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=starting_attributes(user_id=owner.user_id),
            static_summary="follow a customer's changes",
            rpc_timeout=RPC_TIMEOUT,
        )


def _target(owner: Owner) -> _Target:
    if owner.handler is Handler.PAYMENT_HINT:
        return _Target(
            PaymentWorkflow.run,
            PaymentStart(payment_id=owner.our_id),
            payment_workflow_id(owner.our_id),
        )
    return _Target(
        SubscriptionWorkflow.run,
        SubscriptionStart(subscription_id=owner.our_id),
        subscription_workflow_id(owner.our_id),
        owner.our_id,
    )
