"""Keeps reconciliation within its share of Stripe's rate, over all processes together."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from database.reconciliation.marks import ReconciliationMarkRepository
from database.session import Sessions


@dataclass(frozen=True)
class CallPace:
    """The pace of reconciliation's calls to Stripe.

    Args:
        sessions: Database sessions; the database says who calls when.
        calls_per_second: Maximum number of calls per second, of all reconciliations together.
    """

    sessions: Sessions
    calls_per_second: float

    async def wait(self) -> None:
        """Wait until the next call to Stripe may be made."""
        interval = timedelta(seconds=1 / self.calls_per_second)
        async with self.sessions.begin() as session:
            pause = await ReconciliationMarkRepository(session).reserve_call(interval)
        await asyncio.sleep(pause.total_seconds())
