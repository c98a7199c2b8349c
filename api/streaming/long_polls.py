"""Waits until a run needs attention, for callers that poll."""

import asyncio
from contextlib import aclosing, suppress

from api.deps import Caller
from api.streaming.run_feed import RunFeed
from api.streaming.watchers import Watchers
from database.agents.models import AgentRun
from database.agents.run_events import WatchedRun
from domain.agents.run_events import RunEventKind
from domain.agents.runs import RunStatus
from domain.errors import UnauthorizedError

_UNDER_WAY = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
_TELLING = frozenset({RunEventKind.APPROVAL_REQUESTED, RunEventKind.DONE})


async def wait_until_settled(
    feed: RunFeed, watchers: Watchers, caller: Caller, run: AgentRun, seconds: float
) -> None:
    """Wait until a run has ended or waits for a person, or the time is over.

    Args:
        feed: Feed of the events of runs.
        watchers: Counts the open streams of each user; a waiting request is one of them.
        caller: Caller who waits.
        run: The run, as read before.
        seconds: Maximum time to wait.

    Raises:
        TooManyRequestsError: The user has the maximum of open streams (`too_many_streams`).
        UnauthorizedError: The caller's credential was revoked meanwhile.
    """
    if run.run_status not in _UNDER_WAY or not seconds:
        return
    watched = WatchedRun(
        run.agent_run_id, run.user_id, run.run_status, run.last_event_seq, run.completed_at
    )
    following = feed.follow(watched, run.last_event_seq, seconds)
    with watchers.watching(caller) as watcher:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), aclosing(following) as batches:
                async for batch in batches:
                    if any(message.kind in _TELLING for message in batch):
                        break
        if watcher.revoked.is_set():
            raise UnauthorizedError("the credential was revoked")
