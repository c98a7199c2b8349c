"""A cancel always arrives, also at whoever waits for something that is just ending."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from workflows.cancellation import await_cancellable


async def stubborn(end: asyncio.Event) -> str:
    """Come to an end all the same, as an activity does that is just completing."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await end.wait()
    return "done"


async def too_late(end: asyncio.Event) -> str:
    await end.wait()
    raise TimeoutError


async def prompt(end: asyncio.Event) -> str:
    await end.wait()
    return "done"


@pytest.mark.parametrize("asked", [prompt, stubborn, too_late])
@pytest.mark.parametrize("is_ending", [True, False])
async def test_a_cancel_arrives(
    asked: Callable[[asyncio.Event], Coroutine[Any, Any, str]],
    *,
    is_ending: bool,
) -> None:
    end = asyncio.Event()
    went_on = False

    async def work() -> None:
        nonlocal went_on
        with suppress(TimeoutError):
            await await_cancellable(asked(end))
        went_on = True

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0.01)
    if is_ending:
        end.set()
    task.cancel()
    await asyncio.sleep(0.01)
    end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not went_on


@pytest.mark.parametrize("error", [None, TimeoutError, ValueError])
async def test_who_is_not_canceled_hears_how_it_ended(error: type[Exception] | None) -> None:
    async def asked() -> str:
        if error is not None:
            raise error
        return "done"

    if error is None:
        assert await await_cancellable(asked()) == "done"
    else:
        with pytest.raises(error):
            await await_cancellable(asked())
