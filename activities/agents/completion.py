"""Closes a run when its workflow ends."""

from temporalio import activity

from domain.agents.runs import CloseRunInput, CloseRunResult
from services.agents.run_closing import RunClosing


class RunClosingActivities:
    """The activity that closes runs."""

    def __init__(self, closing: RunClosing) -> None:
        self._closing = closing

    @activity.defn
    async def close_run(self, end: CloseRunInput) -> CloseRunResult:
        """Record how a run ended; `done` is the last event of its stream.

        Args:
            end: How the run ended.

        Returns:
            The id of the next run in the conversation.
        """
        return await self._closing.close(end)
