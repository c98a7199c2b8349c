"""Checks the endpoints that webhooks are sent to, for `doctor`."""

from datetime import timedelta

from commands.doctor.findings import CheckDoubtfulError
from config import Settings
from database.session import make_engine, make_sessions
from database.webhooks.webhook_endpoints import EndpointHealthRepository

# Reason: a deploy of the team's app may take some minutes.
FAILING_FOR = timedelta(hours=1)


async def check_webhook_endpoints(settings: Settings) -> str:
    """Check that no endpoint was switched off, and that none fails for an hour.

    Args:
        settings: Settings of the database.

    Returns:
        "none fails".

    Raises:
        CheckDoubtfulError: An endpoint fails, or was switched off because it failed.
    """
    engine = make_engine(settings.database_url)
    try:
        async with make_sessions(engine)() as session:
            failing = await EndpointHealthRepository(session).failing(FAILING_FOR)
    finally:
        await engine.dispose()
    if not failing:
        return "none fails"
    lines = [
        f"{each.url} is switched off since {each.switched_off_at:%Y-%m-%d %H:%M} UTC"
        if each.switched_off_at
        else f"{each.url} fails since {each.failing_since:%Y-%m-%d %H:%M} UTC"
        for each in failing
    ]
    raise CheckDoubtfulError(f"{'; '.join(lines)}: see docs/webhooks-out.md")
