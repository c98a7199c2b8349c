"""Checks that reconciliation with Stripe takes place, for `doctor`."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.schedules import SCHEDULES
from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.reconciliation.marks import ReconciliationMarkRepository
from database.reconciliation.models import Reconciliation, ReconciliationMark
from database.reconciliation.reconciliations import ReconciliationRepository
from domain.reconciliation.messages import ReconciliationScope, ReconciliationStatus
from services.reconciliation.missed_events import events_mark

LATE_AFTER = timedelta(minutes=10)
MIGRATE = "run `python cli.py migrate`"


async def check_reconciliation(settings: Settings) -> str:
    """Check that the schedules of reconciliation are there, and that events were compared lately.

    Args:
        settings: Settings of the database and of Temporal.

    Returns:
        When events and subscriptions were last compared, and at which rate.

    Raises:
        CheckDoubtfulError: A schedule is missing or paused, events were not compared for ten
            minutes, or the last full reconciliation failed.
        ConnectError: Temporal cannot be reached.
    """
    made_at = await _check_schedules(await connect_temporal(settings))
    async with open_sessions(settings) as sessions, sessions() as session:
        marks = ReconciliationMarkRepository(session)
        mark = await marks.get(events_mark(ReconciliationScope.EVENTS))
        full = await ReconciliationRepository(session).latest_full()
    now = datetime.now(UTC)
    compared_at = mark.updated_at if mark else made_at
    if now - compared_at > LATE_AFTER:
        raise CheckDoubtfulError(
            f"no events were compared with Stripe since {compared_at:%Y-%m-%d %H:%M} UTC: see the "
            "workflows `reconciliation-events` in Temporal's Web UI"
        )
    if full is not None and full.reconciliation_status == ReconciliationStatus.FAILED:
        raise CheckDoubtfulError(f"{full.reconciliation_id} failed: {full.error_message}")
    return _told(mark, full, settings)


def _told(mark: ReconciliationMark | None, full: Reconciliation | None, settings: Settings) -> str:
    events = f"at {mark.updated_at:%H:%M:%S} UTC" if mark else "not yet"
    subscriptions = f"at {full.created_at:%Y-%m-%d %H:%M} UTC" if full else "not yet"
    rate = settings.stripe.calls_per_second * settings.stripe.reconciliation_share
    return (
        f"events compared {events}, subscriptions {subscriptions}; at most {rate:g} calls a second"
    )


async def _check_schedules(client: Client) -> datetime:
    """Return when the schedule of events was made."""
    made_at = []
    for schedule in SCHEDULES:
        try:
            described = await client.get_schedule_handle(schedule.schedule_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise CheckDoubtfulError(
                f"the schedule {schedule.schedule_id} is missing: {MIGRATE}"
            ) from error
        if described.schedule.state.paused:
            raise CheckDoubtfulError(f"the schedule {schedule.schedule_id} is paused")
        made_at.append(described.info.created_at)
    return min(made_at)
