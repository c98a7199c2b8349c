"""Sends hints and commands to the mailboxes of subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
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

from adapters.temporal.calls import CALL_TIMEOUT, naming_pending, send_update
from adapters.temporal.errors import from_temporal
from domain.ids import subscription_workflow_id
from domain.subscriptions.adoption.decisions import Adoption
from domain.subscriptions.messages import SubscriptionCommand
from domain.subscriptions.state import SubscriptionStart, SubscriptionState
from domain.workflow_names import (
    BILLING,
    HINT,
    SUBSCRIPTION_COMMAND,
    SUBSCRIPTION_ID_ATTRIBUTE,
    SUBSCRIPTION_WORKFLOW,
    USER_ID_ATTRIBUTE,
)

_USER_ID = SearchAttributeKey.for_keyword(USER_ID_ATTRIBUTE)
_SUBSCRIPTION_ID = SearchAttributeKey.for_keyword(SUBSCRIPTION_ID_ATTRIBUTE)


# Reason: a command goes to Stripe, and may wait for a charge under way.
ANSWER_WITHIN = timedelta(seconds=20)


@dataclass(frozen=True)
class Mailboxes:
    """Sends hints and commands to the workflows of subscriptions."""

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

    async def command(
        self, subscription_id: UUID, command: SubscriptionCommand
    ) -> SubscriptionState:
        """Send a command to a subscription's mailbox, and wait for its answer.

        Args:
            subscription_id: Subscription that the command is for.
            command: The command, which is executed once per its id.

        Returns:
            The state of the subscription after the command.

        Raises:
            IllegalCommandError: The status, in `details`, does not allow the command.
            WorkflowEndedError: The subscription has ended, or its workflow was terminated.
            UnavailableError: Temporal is down, or the answer is late; repeating the call is safe.
        """
        handle = self.client.get_workflow_handle(subscription_workflow_id(subscription_id))
        with naming_pending(subscription_id=subscription_id):
            return await send_update(
                handle,
                SUBSCRIPTION_COMMAND,
                command,
                command.command_id,
                ANSWER_WITHIN,
                SubscriptionState,
            )
