"""Sends each POST to Stripe once, even if an answer is lost; every POST of the product uses it.

Stripe saves the first answer under an idempotency key and replays it for a day, even a 500; then
it forgets the key. So after an unknown outcome the state is read first, and only if nothing was
done, the POST is repeated under the next of a few numbered keys.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import activity

from domain.errors import (
    ApplicationError,
    NotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
)

KEY_COUNT = 3
# How long a POST in flight may go on after its activity was canceled.
FINISH_SECONDS = 15.0

Answer = TypeVar("Answer")


async def post_once(
    key: str,
    post: Callable[[str], Awaitable[Answer]],
    find: Callable[[], Awaitable[Answer | None]],
    *,
    is_repeated: bool = False,
) -> Answer:
    """POST to Stripe once; if an outcome is unknown, read the state before sending again.

    Args:
        key: Idempotency key, the same for the same purpose; its parameters must never differ.
        post: Sends the request under the given key.
        find: Reads the effect of the request; returns None if it had none.
        is_repeated: An earlier activity may have sent the request; earlier attempts of the current
            activity are noticed anyway.

    Returns:
        The result of `post` or `find`.

    Raises:
        CancelledError: The activity was cancelled; a POST in flight has ended.
        ApplicationError: Stripe refused, also if it only replays its refusals; or the outcome is
            not known yet.
    """
    if is_repeated or is_later_attempt():
        # Reason: the answer to an earlier attempt may be lost, and its key forgotten.
        found = await find()
        if found is not None:
            return found
    replayed: ApplicationError = ProviderUnavailableError("all keys have saved errors at Stripe")
    for number in range(1, KEY_COUNT + 1):
        try:
            return await finish(post(f"{key}:{number}"))
        except (ProviderUnavailableError, ProviderRejectedError, NotFoundError) as error:
            is_replayed = error.details.get("is_replayed")
            is_refused = not isinstance(error, ProviderUnavailableError)
            if is_refused and not is_replayed:
                raise
            # Reason: Stripe saves refusals too, and replays them after their cause is gone.
            found = await find()
            if found is not None:
                return found
            if not is_replayed:
                raise
            if is_refused:
                # Reason: who tries a refused step again is told so, and does not wait for a day.
                replayed = error
    raise replayed


def is_later_attempt() -> bool:
    """Return whether an earlier attempt of the current activity may have sent a request."""
    return activity.in_activity() and activity.info().attempt > 1


async def finish(operation: Awaitable[Answer], *, is_last: bool = False) -> Answer:
    """Wait for an operation that must not be interrupted; raise a cancellation after it ended.

    Args:
        operation: Operation to finish.
        is_last: Nothing is sent after it, so its result is returned even after a cancellation.

    Raises:
        CancelledError: The caller was cancelled; the operation has ended or timed out.
    """
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=FINISH_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is None and is_last:
            return task.result()
        raise
