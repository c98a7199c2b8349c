"""Closes a run when its workflow ends."""

from temporalio import activity

from domain.agents.runs import RunClosed, RunEnd
from services.agents.run_closing import RunClosing


class RunClosingActivities:
    """Closes runs."""

    def __init__(self, closing: RunClosing) -> None:
        self._closing = closing

    @activity.defn
    async def close_run(self, end: RunEnd) -> RunClosed:
        """Write down how a run ended; `done` is the last that its stream tells.

        Args:
            end: How it ended.

        Returns:
            Who is next in the conversation.
        """
        return await self._closing.close(end)
