"""The workflow that delivers webhooks to one endpoint, as long as there are any."""

from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import WebhookActivities
    from domain.webhooks.outgoing import DeliverInput, DeliveryProgress, EndpointStart
    from domain.workflow_names import CONTINUE_AS_NEW_AFTER, TOOLS, WAKE
    from workflows.activity_options import PATIENT, ActivityOptions
    from workflows.cancellation import await_cancellable

DELIVER: ActivityOptions = {
    "task_queue": TOOLS,
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}


@workflow.defn(name="WebhookEndpointWorkflow")
class WebhookEndpointWorkflow:
    """The workflow of one endpoint; its id is `webhook-endpoint-{webhook_endpoint_id}`.

    Deliveries are in the database, and at most one activity sends those of an endpoint. The
    workflow waits for what is due next, and ends when nothing is left; new deliveries start it.
    """

    def __init__(self) -> None:
        self._is_woken = False

    @workflow.signal(name=WAKE)
    def on_wake(self) -> None:
        """Look for deliveries that are due at once."""
        self._is_woken = True

    @workflow.run
    async def run(self, start: EndpointStart) -> None:
        """Deliver until nothing is pending.

        Args:
            start: The endpoint.
        """
        while True:
            self._is_woken = False
            progress = await self._deliver(start)
            if progress.next_attempt_at is None and not self._is_woken:
                return
            await self._wait_until_due(progress)
            if workflow.info().get_current_history_length() >= CONTINUE_AS_NEW_AFTER:
                self._continue_as_new(start)

    async def _deliver(self, start: EndpointStart) -> DeliveryProgress:
        request = DeliverInput(webhook_endpoint_id=start.webhook_endpoint_id, now=workflow.now())
        progress = await workflow.execute_activity_method(
            WebhookActivities.deliver_webhooks,
            request,
            **DELIVER,
            summary="send what is due",
        )
        workflow.set_current_details(_details(progress))
        return progress

    async def _wait_until_due(self, progress: DeliveryProgress) -> None:
        if progress.next_attempt_at is None or progress.next_attempt_at <= workflow.now():
            return
        condition = workflow.wait_condition(
            lambda: self._is_woken,
            timeout=progress.next_attempt_at - workflow.now(),
            timeout_summary="next attempt",
        )
        with suppress(TimeoutError):
            await await_cancellable(condition)

    def _continue_as_new(self, start: EndpointStart) -> NoReturn:
        workflow.continue_as_new(start)


def _details(progress: DeliveryProgress) -> str:
    """Return what a person reads in the Web UI."""
    sent = f"last: {progress.delivered_count} delivered, {progress.failed_count} failed"
    if progress.next_attempt_at is None:
        return f"{sent}; nothing is pending"
    when = f"{progress.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{sent}; {progress.pending_count} resources have pending deliveries, next at {when}"
