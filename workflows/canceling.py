"""Cancels that are not lost on the way."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from temporalio.exceptions import FailureError

Answer = TypeVar("Answer")


async def or_canceled(asked: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for something; whoever is canceled meanwhile is canceled, however that ends.

    Args:
        asked: An activity or a condition. It is told of the cancel, and its end is waited for.

    Returns:
        What it answers.

    Raises:
        CancelledError: We were canceled.
        ActivityError: The activity failed.
        TimeoutError: The condition did not come about in time.
    """
    task = asyncio.ensure_future(asked)
    try:
        # Reason: the SDK hands a cancel on to the activity, and Python 3.11's `wait_for` to the
        # condition. If that was just ending, both forget the cancel, and the run would go on.
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with suppress(asyncio.CancelledError, FailureError, TimeoutError):
            await task
        raise
