"""The activity that sends webhooks to one endpoint."""

from temporalio import activity

from domain.webhooks.outgoing import DeliverInput, DeliveryProgress
from services.webhooks.deliveries import WebhookDeliveries


class WebhookActivities:
    """The activity of an endpoint's workflow."""

    def __init__(self, deliveries: WebhookDeliveries) -> None:
        self._deliveries = deliveries

    @activity.defn
    async def deliver_webhooks(self, request: DeliverInput) -> DeliveryProgress:
        """Send the deliveries that are due, for some seconds.

        Args:
            request: The endpoint, and the time of the workflow.

        Returns:
            What was sent, and when the next delivery is due.
        """
        return await self._deliveries.deliver(request)
