"""A clock that follows Temporal's server inside an activity."""

import asyncio
from datetime import datetime, timedelta

from temporalio import activity


class ServerClock:
    """Tells the time of Temporal's server, which can differ from this machine's time."""

    def __init__(self) -> None:
        self._created_at = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """Return the server's current time; only inside an activity."""
        elapsed = asyncio.get_running_loop().time() - self._created_at
        return activity.info().started_time + timedelta(seconds=elapsed)
