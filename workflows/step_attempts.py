"""Runs the steps of a workflow one at a time, and parks a step that fails."""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.parked_steps import ParkedStep, pause_after
    from workflows.cancellation import StepInterruptedError
    from workflows.owed_steps import parked_step

Answer = TypeVar("Answer")


class StepAttempts:
    """Runs the current step, and counts its tries and keeps the time of the next try."""

    def __init__(self, show: Callable[[ParkedStep | None], Awaitable[None]]) -> None:
        self.rests_until: datetime | None = None
        self._show = show
        self._try_count = 0
        self._parked: ParkedStep | None = None

    @property
    def is_repeated(self) -> bool:
        """Whether the step was tried before, and so may have taken effect."""
        return self._try_count > 0

    def wake(self) -> None:
        """Make a parked step due at once."""
        self.rests_until = None

    def drop_parked(self) -> None:
        """Drop a parked step that is not run any more."""
        self._parked, self.rests_until = None, None

    async def take(self, name: str, call: Coroutine[Any, Any, Answer]) -> Answer | None:
        """Run a step; if it fails, it is parked until its next try.

        Returns:
            The result of the step; None if it was interrupted or parked.
        """
        try:
            result = await call
        except StepInterruptedError:
            self._try_count += 1
            return None
        except ActivityError as error:
            await self._park(name, error)
            return None
        self._try_count, self.rests_until = 0, None
        if self._parked is not None:
            self._parked = None
            await self._show(None)
        return result

    async def _park(self, name: str, error: ActivityError) -> None:
        now, earlier = workflow.now(), self._parked
        self._try_count += 1
        self.rests_until = now + pause_after(self._try_count)
        since = earlier.since if earlier is not None and earlier.step == name else now
        self._parked = parked_step(name, error, since)
        workflow.logger.error("step_parked", extra={"step": name, "code": self._parked.code})
        await self._show(self._parked)
