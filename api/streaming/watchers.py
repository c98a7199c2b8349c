"""Counts the open streams of each user, and ends those whose credential was revoked."""

import asyncio
from asyncio import Event, Task
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast
from uuid import UUID

import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection

from api.deps import Caller
from database.accounts.api_keys import ApiKeyRepository
from database.accounts.login_sessions import LoginSessionRepository
from database.accounts.users import ADMIN, UserRepository
from database.session import DATABASE_DOWN, Sessions
from domain.errors import TooManyRequestsError

# Limit per API process, for WebSockets and server-sent events together.
STREAMS_PER_USER = 20
CHECK_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Watcher:
    """One open stream.

    Args:
        caller: Caller who opened the stream.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.revoked = Event()


class Watchers:
    """All open streams of this process.

    Args:
        sessions: Factory of database sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._open: set[Watcher] = set()
        self._counts: Counter[UUID] = Counter()
        self._task: Task[None] | None = None

    async def start(self) -> None:
        """Start checking for revoked credentials."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def enter(self, caller: Caller) -> Watcher:
        """Count a stream that is about to open; `leave` must follow.

        Raises:
            TooManyRequestsError: The user has the maximum of open streams (`too_many_streams`).
        """
        if self._counts[caller.user_id] >= STREAMS_PER_USER:
            message = f"a user may have at most {STREAMS_PER_USER} open streams"
            raise TooManyRequestsError(message, "too_many_streams", {"limit": STREAMS_PER_USER})
        watcher = Watcher(caller)
        self._open.add(watcher)
        self._counts[caller.user_id] += 1
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop counting a stream."""
        self._open.remove(watcher)
        self._counts[watcher.caller.user_id] -= 1
        if not self._counts[watcher.caller.user_id]:
            del self._counts[watcher.caller.user_id]

    @contextmanager
    def watching(self, caller: Caller) -> Iterator[Watcher]:
        """Count a stream while it is open; see `enter`."""
        watcher = self.enter(caller)
        try:
            yield watcher
        finally:
            self.leave(watcher)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                if self._open:
                    await self._check()
            except DATABASE_DOWN:
                continue  # cannot be checked now; streams wait for the database too
            except Exception:
                log.exception("watchers_check_failed")

    async def _check(self) -> None:
        """Check the credentials of all open streams, and signal those that were revoked."""
        watchers = list(self._open)
        user_ids = {watcher.caller.user_id for watcher in watchers}
        key_ids = {watcher.caller.api_key_id for watcher in watchers} - {None}
        session_ids = {watcher.caller.login_session_id for watcher in watchers} - {None}
        async with self._sessions() as session:
            roles = await UserRepository(session).active_roles(user_ids)
            valid = await ApiKeyRepository(session).not_revoked(key_ids) if key_ids else set()
            if session_ids:
                valid |= await LoginSessionRepository(session).not_revoked(session_ids)
        for watcher in watchers:
            caller = watcher.caller
            role = roles.get(caller.user_id)
            is_demoted = caller.role == ADMIN and role != ADMIN
            credentials = {caller.api_key_id, caller.login_session_id} - {None}
            if role is None or is_demoted or not credentials <= valid:
                watcher.revoked.set()


def get_watchers(connection: HTTPConnection) -> Watchers:
    """Return the process's open streams."""
    return cast("Watchers", connection.app.state.watchers)


WatchersDep = Annotated[Watchers, Depends(get_watchers)]
