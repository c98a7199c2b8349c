"""Reviews and reports usage in a process of its own, until it is killed.

Usage: python -m tests.integration.usage.metering_process DATABASE_URL STRIPE_URL
"""

import asyncio
import sys
from datetime import timedelta

from adapters.stripe.client import open_client
from adapters.stripe.meters import StripeMeters
from database.session import make_engine, make_sessions
from services.usage.export import StripeUsageExporter, UsageExport
from services.usage.reviews import UsageReviews

NOTHING = timedelta()


async def main(database_url: str, stripe_url: str) -> None:
    sessions = make_sessions(make_engine(database_url))
    async with open_client("sk_test_x", stripe_url) as client:
        exporter = StripeUsageExporter(StripeMeters(client))
        reviews = UsageReviews(sessions, lease=NOTHING, gather=NOTHING)
        export = UsageExport(sessions, exporter, lease=NOTHING)
        print("begun", flush=True)  # noqa: T201 - the test waits for it
        while True:
            await reviews.review_due()
            await export.send_due()
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
