"""Sends commands about payments to their workflows, for the API and the agents' refund tool."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from adapters.temporal.calls import naming_pending, update_with_start
from domain.ids import payment_workflow_id
from domain.payments.messages import (
    CancelPayment,
    PaymentStart,
    PaymentState,
    RefundInput,
    RefundResult,
)
from domain.workflow_names import (
    BILLING,
    CANCEL_UPDATE,
    PAYMENT_WORKFLOW,
    REFUND_UPDATE,
    RETRY_PARKED_UPDATE,
)

ANSWER_WITHIN = timedelta(seconds=5)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class PaymentCommands:
    """Sends commands to the workflows of payments, and starts workflows that do not run."""

    client: Client
    answer_within: timedelta = ANSWER_WITHIN

    async def refund(self, refund_input: RefundInput) -> RefundResult:
        """Refund a payment, once per `refund_id`.

        Args:
            refund_input: The payment, the amount and the reason.

        Returns:
            The refund; a repeated call returns the same refund.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status, in `details`, allows no refund.
            InvalidInputError: The amount exceeds what is left (`refund_exceeds_payment`).
            ProviderRejectedError: Stripe refused.
            UnavailableError: Temporal is down, or the answer is late; repeating the call is safe.
        """
        with naming_pending(refund_id=refund_input.refund_id):
            return await self._ask(
                refund_input.payment_id,
                REFUND_UPDATE,
                refund_input,
                refund_input.refund_id,
                RefundResult,
            )

    async def cancel(self, payment_id: UUID, command_id: UUID) -> PaymentState:
        """Cancel a payment that has not succeeded yet.

        Args:
            payment_id: Payment to cancel.
            command_id: Id of the command; a repeated command has the same id.

        Returns:
            The payment's current state.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status, in `details`, does not allow a cancellation.
            UnavailableError: Temporal is down, or the answer is late; repeating the call is safe.
        """
        command = CancelPayment(command_id=command_id)
        return await self._ask(payment_id, CANCEL_UPDATE, command, command_id, PaymentState)

    async def retry_parked(self, payment_id: UUID, command_id: UUID) -> PaymentState:
        """Retry a payment's parked step at once.

        Args:
            payment_id: Payment whose step is retried.
            command_id: Id of the command; a repeated command has the same id.

        Returns:
            The payment's state after the retry.

        Raises:
            NotFoundError: There is no such payment.
            UnavailableError: Temporal is down, or the answer is late; repeating the call is safe.
        """
        command = CancelPayment(command_id=command_id)
        return await self._ask(payment_id, RETRY_PARKED_UPDATE, command, command_id, PaymentState)

    async def _ask(
        self,
        payment_id: UUID,
        update: str,
        update_input: Any,
        update_id: UUID,
        result_type: type[Answer],
    ) -> Answer:
        with naming_pending(payment_id=payment_id):
            return await update_with_start(
                self.client,
                update,
                update_input,
                update_id,
                partial(_start, payment_id, update),
                answer_type=result_type,
                within=self.answer_within,
            )


def _start(payment_id: UUID, update: str) -> WithStartWorkflowOperation[Any, Any]:
    return WithStartWorkflowOperation(
        PAYMENT_WORKFLOW,
        PaymentStart(payment_id=payment_id),
        id=payment_workflow_id(payment_id),
        task_queue=BILLING,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"{update} payment {payment_id}",
    )
