"""POST to Stripe once, whatever gets lost. Every POST of the product goes through here.

Stripe saves the first answer under a key and replays it for a day, a 500 too; after a day the key
is forgotten. So after an unknown outcome the state is read, and only if it shows that nothing was
done does the next of few numbered keys follow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import activity

from domain.errors import NotFoundError, ProviderRejectedError, ProviderUnavailableError

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
    """POST to Stripe once; whenever the outcome is unknown, look before anything else.

    Args:
        key: The same for the same purpose; its parameters must never differ.
        post: Sends the request under the key that it is given.
        find: Reads what the request has brought about; None if nothing.
        is_repeated: An earlier activity may have sent it; an earlier try of this one counts anyway.

    Returns:
        What `post` or `find` answers.

    Raises:
        CancelledError: The activity was canceled; a POST in flight has come to its end.
        ApplicationError: Stripe refused, or it is not known yet whether it was done.
    """
    if is_repeated or is_later_try():
        # Reason: the answer of an earlier try may be lost, and its key forgotten.
        found = await find()
        if found is not None:
            return found
    for number in range(1, KEY_COUNT + 1):
        try:
            return await finish(post(f"{key}:{number}"))
        except ProviderUnavailableError as error:
            found = await find()
            if found is not None:
                return found
            if not error.details.get("is_replayed"):
                raise
        except (ProviderRejectedError, NotFoundError) as error:
            # Reason: a refusal is saved too, and replayed long after its reason is gone.
            if not error.details.get("is_replayed"):
                raise
            found = await find()
            if found is not None:
                return found
    raise ProviderUnavailableError("Stripe answers every key with a saved error")


def is_later_try() -> bool:
    """Tell whether an earlier try of the running activity may have sent something."""
    return activity.in_activity() and activity.info().attempt > 1


async def finish(call: Awaitable[Answer], *, is_last: bool = False) -> Answer:
    """Wait for a call that must not be cut off; whoever is canceled meanwhile is canceled after it.

    Args:
        call: What is to come to its end.
        is_last: Nothing else is sent after it, so its answer counts although we were canceled.

    Raises:
        CancelledError: We were canceled; the call has ended, or had its time.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=FINISH_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is None and is_last:
            return task.result()
        raise
