"""Writes the token events of all runs of a worker to the database, in batches."""

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

# Shortest time between two transactions.
FLUSH_SECONDS = 0.04
# How long the first token after a pause waits for others: an answer that ends within this time
# is stored together with its message.
GATHER_SECONDS = 0.005
# How long to wait before retrying a database that is down.
RETRY_SECONDS = 0.25
WRITE_SECONDS = 5.0
DRAIN_SECONDS = 5.0
# How much text of one run may be buffered while the database is down.
BUFFER_CHARACTERS = 1_000_000

_TRY_AGAIN: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_DOWN)

log = structlog.get_logger(__name__)


class _Token(NamedTuple):
    attempt: int
    step: int
    text: str


class _Buffer:
    """Events that are not committed yet: the batch being written, and newer tokens, by run."""

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
        """Buffer a token; raise UnavailableError if the run's buffer is full."""
        count = self._character_counts[agent_run_id] + len(token.text)
        if count > BUFFER_CHARACTERS:
            raise UnavailableError("the stream of this run cannot be written")
        self._tokens[agent_run_id].append(token)
        self._character_counts[agent_run_id] = count

    def pop_tokens(self, agent_run_id: UUID) -> list[NewRunEvent]:
        """Remove and return a run's tokens that are in no batch yet."""
        del self._character_counts[agent_run_id]
        return _join(self._tokens.pop(agent_run_id, []))

    def take(self) -> None:
        """Turn the new tokens into a batch, unless an older batch is still unwritten."""
        if not self.batch:
            self.batch = {run: _join(tokens) for run, tokens in self._tokens.items()}
            self._tokens.clear()
            self._character_counts.clear()


def _join(tokens: Sequence[_Token]) -> list[NewRunEvent]:
    """Join adjacent tokens of one attempt: fewer rows with the same text."""
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


class _CommitMark(NamedTuple):
    """An event that shows whether a transaction with an unanswered commit took place."""

    agent_run_id: UUID
    seq: int
    event: NewRunEvent


class _Writer:
    """Writes the buffered events into the database, each token exactly once."""

    def __init__(self, sessions: Sessions, buffer: _Buffer) -> None:
        self._sessions = sessions
        self._buffer = buffer
        self._unconfirmed: _CommitMark | None = None
        self._is_database_down = False

    async def flush(self) -> bool:
        """Write the buffer; return False if the write has to be retried."""
        self._buffer.take()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._write()
        except _TRY_AGAIN as error:
            if not self._is_database_down:
                log.warning("run_stream_waits_for_database", error=type(error).__name__)
            self._is_database_down = True
            return False
        except Exception:
            log.exception("run_stream_refused", run_count=len(self._buffer))
        self._is_database_down = False
        self._buffer.batch, self._unconfirmed = {}, None
        return True

    async def _write(self) -> None:
        batch = self._buffer.batch
        async with self._sessions.begin() as session:
            events = RunEventRepository(session)
            # Reason: an unanswered commit may have happened, and no text may be written twice.
            if self._unconfirmed is not None and await events.holds(*self._unconfirmed):
                return
            last_seqs = await events.append_many(batch)
            self._unconfirmed = None
            if last_seqs:
                agent_run_id, seq = next(iter(last_seqs.items()))
                self._unconfirmed = _CommitMark(agent_run_id, seq, batch[agent_run_id][-1])


class _Flusher:
    """Flushes the buffer in a loop, and notifies waiters after each flush."""

    def __init__(self, buffer: _Buffer, writer: _Writer) -> None:
        self._buffer = buffer
        self._writer = writer
        self._has_tokens = asyncio.Event()
        self._is_flush_requested = asyncio.Event()
        self._flush_ended = asyncio.Event()

    def wake(self) -> None:
        """Signal that the buffer holds tokens."""
        self._has_tokens.set()

    async def flush_now(self) -> None:
        """Request a flush at once, and return after it was tried."""
        self._is_flush_requested.set()
        await self._flush_ended.wait()

    async def run(self) -> None:
        """Flush whenever tokens are buffered, until cancelled."""
        while True:
            await self._has_tokens.wait()
            await self._pause(GATHER_SECONDS)
            self._is_flush_requested.clear()
            is_written = await self._writer.flush() if self._buffer else True
            if not self._buffer:
                self._has_tokens.clear()
            self._flush_ended.set()
            self._flush_ended = asyncio.Event()
            if is_written:
                await self._pause(FLUSH_SECONDS)
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait for more tokens, unless a caller requests a flush."""
        # Reason: on Python 3.11 `wait_for` can swallow the cancellation that ends the loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_flush_requested.wait()


class RunStream:
    """Writes tokens as they come, each exactly once; opened once per worker process.

    Tokens are buffered while the database is down, and written once it is back. A batch that the
    database refuses for good is logged and dropped; the `message` event holds the text anyway.

    Args:
        sessions: Database sessions.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._buffer = _Buffer()
        self._flusher = _Flusher(self._buffer, _Writer(sessions, self._buffer))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the flushing task."""
        self._task = asyncio.create_task(self._flusher.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush the buffer if the database accepts it, and stop the task."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._buffer:
                    await self._flusher.flush_now()
        except TimeoutError:
            log.warning("run_stream_lost", run_count=len(self._buffer))
        finally:
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task

    def put_token(self, agent_run_id: UUID, text: str, *, attempt: int, step: int) -> None:
        """Buffer a piece of a model's text; never waits.

        Args:
            agent_run_id: Run whose stream gets the text.
            text: Text that the model wrote.
            attempt: Number of the attempt within the step.
            step: Number of the run's step.

        Raises:
            UnavailableError: The database has been down for so long that the buffer is full.
        """
        if text:
            self._buffer.put(agent_run_id, _Token(attempt, step, text))
            self._flusher.wake()

    async def drain(self, agent_run_id: UUID) -> None:
        """Flush at once, and return when all tokens of a run are committed.

        Raises:
            UnavailableError: The database does not accept the tokens in time; they stay buffered.
        """
        await self._until(lambda: agent_run_id not in self._buffer)

    async def take(self, agent_run_id: UUID) -> list[NewRunEvent]:
        """Remove and return a run's buffered events, once all earlier ones are committed.

        Args:
            agent_run_id: Run whose events are taken.

        Returns:
            Events that the caller stores in its own transaction, or puts back.

        Raises:
            UnavailableError: The database does not accept the earlier events; all stay buffered.
        """
        await self._until(lambda: agent_run_id not in self._buffer.batch)
        return self._buffer.pop_tokens(agent_run_id)

    def put_back(self, agent_run_id: UUID, events: Iterable[NewRunEvent]) -> None:
        """Buffer events again that `take` returned and that the caller could not store."""
        for event in events:
            self.put_token(agent_run_id, **event.data)

    async def _until(self, is_written: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not is_written():
                    await self._flusher.flush_now()
        except TimeoutError as error:
            raise UnavailableError("the stream of this run cannot be written") from error
