"""Counts the reports of usage that Stripe did not count, for `doctor`."""

from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.session import make_engine, make_sessions
from database.usage.meter_events import count_unsent

PAGE = "docs/agents.md"


async def check_meter_events(settings: Settings) -> str:
    """Check that all usage beyond limits is reported to Stripe.

    Args:
        settings: Settings of the database.

    Returns:
        "all sent".

    Raises:
        CheckDoubtfulError: Reports were rejected, given up, or are late.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            counts = await count_unsent(session)
    finally:
        await engine.dispose()
    if not counts:
        return "all sent"
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    raise CheckDoubtfulError(f"usage that is not billed: {summary}; see {PAGE}")
