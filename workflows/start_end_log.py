"""Writes one log line when a workflow starts, and one when it ends."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn, Protocol, runtime_checkable

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

with workflow.unsafe.imports_passed_through():
    from workflows.search_attributes import STATUS, SUBSCRIPTION_ID, USER_ID

_STARTED_AT = "started-at"
# By workflow type: what the lines are about, and the field that holds the rest of the workflow id.
_SUBJECTS = {
    "SubscriptionWorkflow": ("subscription", "subscription_id"),
    "PaymentRetryWorkflow": ("payment_retry", "stripe_invoice_id"),
    "PaymentWorkflow": ("payment", "payment_id"),
    "StripeOperationWorkflow": ("stripe_operation", "operation_id"),
    "AgentRunWorkflow": ("agent_run", "agent_run_id"),
    "ReconciliationWorkflow": ("reconciliation", "reconciliation_id"),
    "IngestDocumentWorkflow": ("ingest_document", "document_id"),
    "WebhookEndpointWorkflow": ("webhook_endpoint", "webhook_endpoint_id"),
}


@runtime_checkable
class LoggedWorkflow(Protocol):
    """A workflow whose two log lines have more fields."""

    def log_fields(self) -> Mapping[str, Any]:
        """Return fields for the log; `reason` tells why the workflow ended as it did."""
        ...


class StartEndLog(Interceptor):
    """Logs starts and ends of workflows: not on replay, and not when they continue as new."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """Return the class that wraps each workflow."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self._outbound = _Outbound(outbound)
        super().init(self._outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        info = workflow.info()
        self._outbound.started_at = info.workflow_start_time
        if (carried_over := input.headers.get(_STARTED_AT)) is not None:
            [text] = workflow.payload_converter().from_payloads([carried_over], [str])
            self._outbound.started_at = datetime.fromisoformat(text)
        if info.continued_run_id is None:
            _log("started")
        try:
            result = await super().execute_workflow(input)
        except FailureError as error:
            self._log_end("failed", error)
            raise
        except asyncio.CancelledError:
            # Reason: a workflow that leaves the worker's cache is cancelled too, and has not ended.
            if workflow.cancellation_reason() is not None:
                self._log_end("canceled")
            raise
        self._log_end("completed")
        return result

    def _log_end(self, outcome: str, error: FailureError | None = None) -> None:
        status = workflow.info().typed_search_attributes.get(STATUS)
        fields: dict[str, Any] = {"status": outcome if error else status or outcome}
        if isinstance(error, ApplicationError):
            fields["reason"] = error.type
        duration = workflow.now() - self._outbound.started_at
        _log("ended", **fields, duration_seconds=round(duration.total_seconds(), 3))


class _Outbound(WorkflowOutboundInterceptor):
    started_at: datetime

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        """Hand on when the first run started, because Temporal tells only of the current one."""
        [payload] = workflow.payload_converter().to_payloads([self.started_at.isoformat()])
        headers: dict[str, Payload] = {**input.headers, _STARTED_AT: payload}
        input.headers = headers
        super().continue_as_new(input)


def _log(what: str, **fields: Any) -> None:
    info, instance = workflow.info(), workflow.instance()
    subject, id_field = _SUBJECTS.get(info.workflow_type, (info.workflow_type, "resource_id"))
    attributes = info.typed_search_attributes
    more = instance.log_fields() if isinstance(instance, LoggedWorkflow) else {}
    told: dict[str, Any] = {
        "user_id": attributes.get(USER_ID),
        "subscription_id": attributes.get(SUBSCRIPTION_ID),
    }
    told[id_field] = info.workflow_id.removeprefix(f"{subject.replace('_', '-')}-")
    for facts in (fields, more):
        told |= {name: value for name, value in facts.items() if value is not None}
    told = {name: value for name, value in told.items() if value is not None}
    workflow.logger.info(f"{subject}_{what}", extra=told)
