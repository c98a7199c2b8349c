"""Where others ask for something to be done about a payment: the API, and an agent's tool."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import (
    ApplicationError,
    ConflictError,
    IllegalCommandError,
    InvalidInputError,
    NotFoundError,
    OutcomePendingError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnavailableError,
)
from domain.ids import payment_workflow_id
from domain.payments.messages import (
    CancelPayment,
    PaymentStart,
    PaymentState,
    RefundOrder,
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
PAUSE_SECONDS = 0.1
_PENDING = "this takes longer than usual and goes on; asking again gets its answer"

Answer = TypeVar("Answer")

# What the workflow refuses with, by the code that it gives.
_KINDS: Mapping[str, type[ApplicationError]] = {
    kind.code: kind
    for kind in (
        ConflictError,
        IllegalCommandError,
        InvalidInputError,
        NotFoundError,
        ProviderRejectedError,
        ProviderUnavailableError,
    )
} | {
    "refund_exceeds_payment": InvalidInputError,
    "stripe_resource_missing": NotFoundError,
}
# The workflow ended, or continues as new, just when it was asked: the next run answers.
_ASK_AGAIN = frozenset({"AcceptedUpdateCompletedWorkflow", "busy"})
_LATE = frozenset({RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True)
class PaymentDesk:
    """Sends commands to payments' workflows, and starts those that have ended or never ran."""

    client: Client
    answer_within: timedelta = ANSWER_WITHIN

    async def refund(self, order: RefundOrder) -> RefundResult:
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
        try:
            async with asyncio.timeout(self.answer_within.total_seconds()):
                while True:
                    try:
                        return await self._send(payment_id, update, argument, update_id, answer)
                    except TemporalError as error:
                        if not _should_ask_again(error):
                            raise _translated(error) from error
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError as error:
            raise OutcomePendingError(_PENDING) from error

    async def _send(
        self,
        payment_id: UUID,
        update: str,
        argument: Any,
        update_id: UUID,
        answer: type[Answer],
    ) -> Answer:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            PAYMENT_WORKFLOW,
            PaymentStart(payment_id=payment_id),
            id=payment_workflow_id(payment_id),
            task_queue=BILLING,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"woken to {update}",
        )
        try:
            done: Answer = await self.client.execute_update_with_start_workflow(
                update,
                argument,
                id=str(update_id),
                start_workflow_operation=start,
                result_type=answer,
                rpc_timeout=self.answer_within,
            )
        except TemporalError:
            # Reason: the SDK keeps a failed start in a future too, which complains if nobody looks.
            with suppress(TemporalError, asyncio.CancelledError):
                await start.workflow_handle()
            raise
        return done


def _should_ask_again(error: TemporalError) -> bool:
    if isinstance(error, WorkflowUpdateFailedError):
        cause = error.cause
        return isinstance(cause, TemporalApplicationError) and cause.type in _ASK_AGAIN
    return isinstance(error, RPCError) and error.status in {
        RPCStatusCode.ABORTED,
        RPCStatusCode.NOT_FOUND,
    }


def _translated(error: TemporalError) -> ApplicationError:
    if isinstance(error, WorkflowUpdateFailedError):
        cause = error.cause
        if isinstance(cause, TemporalApplicationError) and (kind := _KINDS.get(cause.type or "")):
            details = cause.details[0] if cause.details else None
            return kind(cause.message, cause.type, details)
        return ApplicationError("something went wrong on our side")
    if isinstance(error, RPCError) and error.status not in _LATE:
        return UnavailableError("Temporal is not to be reached", "temporal_unavailable")
    return OutcomePendingError(_PENDING)
