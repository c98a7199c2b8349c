"""The tokens of all runs of a worker: gathered, and written many at once."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

import structlog

from database.agents.run_events import RunEventRepository
from database.session import DATABASE_DOWN, Sessions
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.errors import UnavailableError

# No more than one transaction within this time.
FLUSH_SECONDS = 0.04
# How long the first token after a pause waits for others: an answer that ends meanwhile is written
# down with its message.
GATHER_SECONDS = 0.005
# How long to wait before a database that is down is tried again.
RETRY_SECONDS = 0.25
WRITE_SECONDS = 5.0
DRAIN_SECONDS = 5.0
# What one run may have waiting while the database is down.
BUFFER_CHARACTERS = 1_000_000

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


class _Token(NamedTuple):
    attempt: int
    step: int
    text: str


class _Waiting:
    """What is not committed yet: a batch that is being written, and what came since, by run."""

    def __init__(self) -> None:
        self.batch: dict[UUID, list[NewRunEvent]] = {}
        self._tokens: dict[UUID, list[_Token]] = defaultdict(list)
        self._character_counts: Counter[UUID] = Counter()

    def __bool__(self) -> bool:
        return bool(self.batch or self._tokens)

    def __contains__(self, agent_run_id: UUID) -> bool:
        return agent_run_id in self.batch or agent_run_id in self._tokens

    def __len__(self) -> int:
        return len(self.batch.keys() | self._tokens.keys())

    def put(self, agent_run_id: UUID, token: _Token) -> None:
        """Take one more; UnavailableError if too much waits already."""
        count = self._character_counts[agent_run_id] + len(token.text)
        if count > BUFFER_CHARACTERS:
            raise UnavailableError("the stream of this run cannot be written")
        self._tokens[agent_run_id].append(token)
        self._character_counts[agent_run_id] = count

    def hand_over(self, agent_run_id: UUID) -> list[NewRunEvent]:
        """Return what came for a run, and is in no batch, and forget it."""
        del self._character_counts[agent_run_id]
        return _joined(self._tokens.pop(agent_run_id, []))

    def take(self) -> None:
        """Make a batch of what came, unless one is left that was not written."""
        if not self.batch:
            self.batch = {run: _joined(tokens) for run, tokens in self._tokens.items()}
            self._tokens.clear()
            self._character_counts.clear()


def _joined(tokens: Sequence[_Token]) -> list[NewRunEvent]:
    """Join neighbours of one attempt: fewer rows, and the same text."""
    return [
        NewRunEvent(
            kind=RunEventKind.TOKEN,
            data={
                "text": "".join(token.text for token in neighbours),
                "attempt": attempt,
                "step": step,
            },
        )
        for (attempt, step), neighbours in groupby(tokens, key=lambda each: each[:2])
    ]


class _Mark(NamedTuple):
    """An event by which a transaction is known again whose commit got no answer."""

    agent_run_id: UUID
    seq: int
    note: NewRunEvent


class _Writer:
    """Brings what waits into the database, each token exactly once."""

    def __init__(self, sessions: Sessions, waiting: _Waiting) -> None:
        self._sessions = sessions
        self._waiting = waiting
        self._unsure: _Mark | None = None
        self._is_database_down = False

    async def flush(self) -> bool:
        """Write what waits; return whether it need not be tried again."""
        self._waiting.take()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._write()
        except _TRY_AGAIN as error:
            if not self._is_database_down:
                log.warning("run_stream_waits_for_database", error=type(error).__name__)
            self._is_database_down = True
            return False
        except Exception:
            log.exception("run_stream_refused", run_count=len(self._waiting))
        self._is_database_down = False
        self._waiting.batch, self._unsure = {}, None
        return True

    async def _write(self) -> None:
        batch = self._waiting.batch
        async with self._sessions.begin() as session:
            events = RunEventRepository(session)
            # Reason: a commit whose answer was lost may have happened, and text must not double.
            if self._unsure is not None and await events.holds(*self._unsure):
                return
            last = await events.append_many(batch)
            self._unsure = None
            if last:
                agent_run_id, seq = next(iter(last.items()))
                self._unsure = _Mark(agent_run_id, seq, batch[agent_run_id][-1])


class _Flusher:
    """Has what waits written, again and again, and tells after each turn."""

    def __init__(self, waiting: _Waiting, writer: _Writer) -> None:
        self._waiting = waiting
        self._writer = writer
        self._filled = asyncio.Event()
        self._hurried = asyncio.Event()
        self._turned = asyncio.Event()

    def wake(self) -> None:
        """Tell that something waits."""
        self._filled.set()

    async def next_turn(self) -> None:
        """Have it written at once, and return when that was tried."""
        self._hurried.set()
        await self._turned.wait()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self._filled.wait()
            await self._pause(GATHER_SECONDS)
            self._hurried.clear()
            is_written = await self._writer.flush() if self._waiting else True
            if not self._waiting:
                self._filled.clear()
            self._turned.set()
            self._turned = asyncio.Event()
            if is_written:
                await self._pause(FLUSH_SECONDS)
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait for more, unless somebody waits for us."""
        # Reason: on 3.11 `wait_for` can swallow the cancellation that is to end the loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()


class RunStream:
    """Writes tokens as they come, each exactly once; open it once in a worker process.

    A database that is down costs nothing but time: what waits is written once it is back. A batch
    that the database refuses for good is logged and dropped, for `message` tells the text anyway.

    Args:
        sessions: The database.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._waiting = _Waiting()
        self._flusher = _Flusher(self._waiting, _Writer(sessions, self._waiting))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to write."""
        self._task = asyncio.create_task(self._flusher.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what waits, if the database takes it, and end."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._waiting:
                    await self._flusher.next_turn()
        except TimeoutError:
            log.warning("run_stream_lost", run_count=len(self._waiting))
        finally:
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task

    def put_token(self, agent_run_id: UUID, text: str, *, attempt: int, step: int) -> None:
        """Take a piece of a model's text, to be written soon; never waits.

        Args:
            agent_run_id: Whose stream it is.
            text: What the model wrote.
            attempt: Which attempt at the call wrote it.
            step: Which of the run's model calls it is.

        Raises:
            UnavailableError: The database has been down for so long that too much waits.
        """
        if text:
            self._waiting.put(agent_run_id, _Token(attempt, step, text))
            self._flusher.wake()

    async def drain(self, agent_run_id: UUID) -> None:
        """Return once all that was put for a run is committed; it is written at once.

        Raises:
            UnavailableError: The database does not take it in time; it is kept.
        """
        await self._until(lambda: agent_run_id not in self._waiting)

    async def take(self, agent_run_id: UUID) -> list[NewRunEvent]:
        """Hand over what waits for a run, once all before it is committed.

        Args:
            agent_run_id: Whose stream it is.

        Returns:
            What the caller stores in a transaction of its own, or puts back.

        Raises:
            UnavailableError: The database does not take what came before; all of it is kept.
        """
        await self._until(lambda: agent_run_id not in self._waiting.batch)
        return self._waiting.hand_over(agent_run_id)

    def put_back(self, agent_run_id: UUID, notes: Iterable[NewRunEvent]) -> None:
        """Take back what `take` handed over and the caller could not store."""
        for note in notes:
            self.put_token(agent_run_id, **note.data)

    async def _until(self, is_written: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not is_written():
                    await self._flusher.next_turn()
        except TimeoutError as error:
            raise UnavailableError("the stream of this run cannot be written") from error
