"""Counts the parked steps, for `doctor`."""

from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.parked_steps import count_parked
from database.session import make_engine, make_sessions
from domain.parked_steps import ParkableResource

PAGE = "docs/operations.md"
_PLURALS = {
    ParkableResource.SUBSCRIPTION: "subscriptions",
    ParkableResource.PAYMENT_RETRY: "payment retries",
    ParkableResource.PAYMENT: "payments",
}


async def check_parked_steps(settings: Settings) -> str:
    """Check that no step is parked.

    Args:
        settings: Settings of the database.

    Returns:
        "none".

    Raises:
        CheckDoubtfulError: There are parked steps.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            counts = await count_parked(session)
    finally:
        await engine.dispose()
    parked = [each for each in counts if each.oldest_since is not None]
    if not parked:
        return "none"
    summary = ", ".join(f"{each.step_count} of {_PLURALS[each.resource]}" for each in parked)
    oldest = min(each.oldest_since for each in parked if each.oldest_since is not None)
    raise CheckDoubtfulError(f"{summary}, the oldest since {oldest:%Y-%m-%d %H:%M} UTC: see {PAGE}")
