"""The activity that reads which reports of usage could not be counted."""

import structlog
from temporalio import activity

from adapters.stripe.meters import StripeMeters
from database.session import Sessions
from database.usage.meter_events import reject_meter_events
from domain.stripe_operations import ReadMeterErrors, StripeOperationResult
from domain.usage.metering import MeterEventStatus
from observability.metrics import METER_EVENTS

log = structlog.get_logger(__name__)


class MeterErrorActivities:
    """The activity that stores what Stripe's meters could not count."""

    def __init__(self, meters: StripeMeters, sessions: Sessions) -> None:
        self._meters = meters
        self._sessions = sessions

    @activity.defn
    async def read_meter_errors(self, operation: ReadMeterErrors) -> StripeOperationResult:
        """Read error reports of a meter, and show them at the meter events that they name.

        Args:
            operation: The plan of the meter, and the events that reported the errors.

        Returns:
            The plan's id.

        Raises:
            ApplicationError: Stripe does not know an event, or is down.
        """
        for stripe_event_id in operation.stripe_event_ids:
            errors = await self._meters.read_errors(stripe_event_id)
            async with self._sessions.begin() as session:
                count = await reject_meter_events(session, errors)
            METER_EVENTS.labels(MeterEventStatus.REJECTED).inc(count)
            log.error(
                "meter_errors_reported",
                plan_id=str(operation.resource_id),
                stripe_event_id=stripe_event_id,
                codes=sorted({error.error_code for error in errors}),
                meter_event_count=count,
            )
        return StripeOperationResult(resource_id=operation.resource_id)
