"""Sends hints to the mailboxes of subscriptions, and starts those that do not run."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.calls import CALL_TIMEOUT
from adapters.temporal.errors import from_temporal
from domain.ids import subscription_workflow_id
from domain.subscriptions.adoption.decisions import Adoption
from domain.subscriptions.state import SubscriptionStart
from domain.workflow_names import (
    BILLING,
    HINT,
    SUBSCRIPTION_ID_ATTRIBUTE,
    SUBSCRIPTION_WORKFLOW,
    USER_ID_ATTRIBUTE,
)

_USER_ID = SearchAttributeKey.for_keyword(USER_ID_ATTRIBUTE)
_SUBSCRIPTION_ID = SearchAttributeKey.for_keyword(SUBSCRIPTION_ID_ATTRIBUTE)


@dataclass(frozen=True)
class Mailboxes:
    """Sends hints to the workflows of subscriptions."""

    client: Client

    async def is_running(self, subscription_id: UUID) -> bool:
        """Tell whether the workflow of a subscription runs.

        Raises:
            ApplicationError: Temporal cannot be reached.
        """
        handle = self.client.get_workflow_handle(subscription_workflow_id(subscription_id))
        try:
            described = await handle.describe(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise from_temporal(error) from error
        return described.status is WorkflowExecutionStatus.RUNNING

    async def hint(
        self,
        subscription_id: UUID,
        user_id: UUID,
        stripe_event_ids: Sequence[str],
        adoption: Adoption | None = None,
    ) -> None:
        """Send a hint to a subscription's mailbox; a mailbox that does not run is started.

        Args:
            subscription_id: Subscription to read at Stripe.
            user_id: Owner of the subscription.
            stripe_event_ids: Stripe's events that are the reason; may be empty.
            adoption: Values of the row, if the subscription has none yet.

        Raises:
            ApplicationError: Temporal cannot be reached.
        """
        attributes = [
            SearchAttributePair(_USER_ID, str(user_id)),
            SearchAttributePair(_SUBSCRIPTION_ID, str(subscription_id)),
        ]
        try:
            await self.client.start_workflow(
                SUBSCRIPTION_WORKFLOW,
                SubscriptionStart.new(subscription_id, adoption=adoption),
                id=subscription_workflow_id(subscription_id),
                task_queue=BILLING,
                start_signal=HINT,
                start_signal_args=[list(stripe_event_ids)],
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                search_attributes=TypedSearchAttributes(attributes),
                static_summary=f"follow a subscription made at Stripe, user {user_id}",
                rpc_timeout=CALL_TIMEOUT,
            )
        except TemporalError as error:
            raise from_temporal(error) from error
