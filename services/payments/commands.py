"""Where others ask for something to be done about a payment: the API, and an agent's tool."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from adapters.temporal.calls import update_with_start
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
    """Sends commands to payments' workflows, and starts those that have ended or never ran."""

    client: Client
    answer_within: timedelta = ANSWER_WITHIN

    async def refund(self, order: RefundInput) -> RefundResult:
        """Pay back, once per `refund_id`.

        Args:
            order: Which payment, how much, why.

        Returns:
            The refund; the same again for the same `refund_id`.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status, in `details`, allows no refund.
            InvalidInputError: It is more than is left (`refund_exceeds_payment`).
            ProviderRejectedError: Stripe refused.
            UnavailableError: Temporal is down, or the answer is late; asking again is safe.
        """
        return await self._ask(
            order.payment_id,
            REFUND_UPDATE,
            order,
            order.refund_id,
            RefundResult,
        )

    async def cancel(self, payment_id: UUID, command_id: UUID) -> PaymentState:
        """Call off a payment that is not made yet.

        Args:
            payment_id: Which.
            command_id: The same for the same wish.

        Returns:
            The payment as it is now.

        Raises:
            NotFoundError: There is no such payment.
            IllegalCommandError: The payment's status, in `details`, does not allow it.
            UnavailableError: Temporal is down, or the answer is late; asking again is safe.
        """
        command = CancelPayment(command_id=command_id)
        return await self._ask(payment_id, CANCEL_UPDATE, command, command_id, PaymentState)

    async def retry_parked(self, payment_id: UUID, command_id: UUID) -> PaymentState:
        """Take a payment's parked step again at once.

        Args:
            payment_id: Which.
            command_id: The same for the same wish.

        Returns:
            The payment as it is after that.

        Raises:
            NotFoundError: There is no such payment.
            UnavailableError: Temporal is down, or the answer is late; asking again is safe.
        """
        command = CancelPayment(command_id=command_id)
        return await self._ask(payment_id, RETRY_PARKED_UPDATE, command, command_id, PaymentState)

    async def _ask(
        self,
        payment_id: UUID,
        update: str,
        argument: Any,
        update_id: UUID,
        answer: type[Answer],
    ) -> Answer:
        return await update_with_start(
            self.client,
            update,
            argument,
            update_id,
            partial(_start, payment_id, update),
            answer_type=answer,
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
        static_summary=f"woken to {update}",
    )
