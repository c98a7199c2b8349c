"""The time as Temporal's server has it."""

import asyncio
from datetime import datetime, timedelta

from temporalio import activity


class ServerClock:
    """The time as Temporal's server has it, which can be another one than this machine's."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """Return the time, within an activity."""
        passed = asyncio.get_running_loop().time() - self._began
        return activity.info().started_time + timedelta(seconds=passed)
