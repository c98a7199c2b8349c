"""Runs the reviews and the export of usage in the background of a worker."""

import asyncio

import structlog

from database.session import DATABASE_DOWN
from services.usage import export, reviews
from services.usage.export import UsageExport
from services.usage.reviews import UsageReviews

POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


class UsageMetering:
    """Reviews settled usage, and reports usage beyond limits; several processes may run it."""

    def __init__(self, usage_reviews: UsageReviews, usage_export: UsageExport) -> None:
        self._reviews = usage_reviews
        self._export = usage_export

    async def run(self) -> None:
        """Review and report what is due, until cancelled."""
        while True:
            is_more = False
            try:
                is_more = await self.work_due()
            except DATABASE_DOWN as error:
                log.warning("metering_waits_for_database", error=type(error).__name__)
            except Exception:
                log.exception("metering_failed")
            if not is_more:
                await asyncio.sleep(POLL_SECONDS)

    async def work_due(self) -> bool:
        """Review and report one batch each.

        Returns:
            Whether more may be due.
        """
        reviewed_count = await self._reviews.review_due()
        sent_count = await self._export.send_due()
        return reviewed_count == reviews.BATCH_SIZE or sent_count == export.BATCH_SIZE
