"""The processes of the sandbox for Python that compute for this process."""

import asyncio
from contextlib import suppress

import psutil


def spinning() -> set[int]:
    """Return the processes of interpreters that compute for this process."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == "monty" and child.cpu_times().user > 0.2:
                found.add(child.pid)
    return found


async def until_spinning(before: set[int]) -> set[int]:
    """Wait until an interpreter computes that did not before."""
    async with asyncio.timeout(100):
        while not (busy := spinning() - before):  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.05)
    return busy


async def until_gone(pids: set[int]) -> None:
    async with asyncio.timeout(100):
        while pids & spinning():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.05)
