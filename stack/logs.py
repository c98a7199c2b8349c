"""Logs of child processes: with coloured prefixes on the terminal, plain in `logs/NAME.log`."""

import asyncio
import contextlib
import os
import queue
import sys
import threading
from collections import deque
from pathlib import Path
from typing import BinaryIO

_STYLES = (36, 35, 32, 33, 34, 96, 95, 92, 93)
_NAME_WIDTH = 8
_TAIL_LINE_COUNT = 15
_LONGEST_LINE_BYTES = 65_536
_CLOSE_TIMEOUT_SECONDS = 0.5


class Terminal:
    """Writes to standard output from a thread of its own.

    A paused terminal or an unread pipe must not block the supervisor: lines are then dropped here,
    but are still in the log files.
    """

    def __init__(self) -> None:
        self.is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=10_000)
        self._thread = threading.Thread(target=self._write_lines, name="terminal", daemon=True)
        self._thread.start()

    def prefix(self, name: str, style: int) -> str:
        """Return the prefix of the log lines of the service called `name`."""
        text = f"{name:<{_NAME_WIDTH}} |"
        return f"\x1b[{style}m{text}\x1b[0m" if self.is_coloured else text

    def say(self, text: str) -> None:
        """Queue a line to be printed; drop it if the queue is full."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(text)

    def close(self) -> None:
        """Print the queued lines, but wait for one second at most."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(timeout=1.0)

    def _write_lines(self) -> None:
        while (text := self._lines.get()) is not None:
            # Reason: the reader of the output may be gone; the stack goes on without a reader.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.write(f"{text}\n")
                if self._lines.empty():
                    sys.stdout.flush()


class ServiceLog(asyncio.Protocol):
    """Splits the output of one service into lines."""

    def __init__(self, file: BinaryIO, terminal: Terminal | None, prefix: str) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL_LINE_COUNT)
        self.is_closed = asyncio.Event()
        self._file = file
        self.terminal = terminal
        self._prefix = prefix
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes of output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._write_line(line)
        # Reason: a full disk must not end the stack.
        with contextlib.suppress(OSError):
            self._file.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Write the last, unfinished line and close the file."""
        if self._rest:
            self._write_line(self._rest)
        with contextlib.suppress(OSError):
            self._file.close()
        self.is_closed.set()

    def _write_line(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            self._file.write(line + b"\n")
        text = line.decode(errors="replace").rstrip()
        self.tail.append(text)
        if self.terminal is not None:
            self.terminal.say(f"{self._prefix} {text}")


class LogRouter:
    """Logs of all services; each service keeps one pipe across its restarts."""

    def __init__(self, folder: Path, terminal: Terminal) -> None:
        self._folder = folder
        self._terminal = terminal
        self._logs: dict[str, ServiceLog] = {}
        self._descriptors: dict[str, int] = {}

    async def pen(self, name: str, *, is_quiet: bool) -> int:
        """Return the file descriptor that the service called `name` writes to."""
        if name not in self._descriptors:
            self._descriptors[name] = await self._open(name, None if is_quiet else self._terminal)
        return self._descriptors[name]

    def tail(self, name: str) -> tuple[str, ...]:
        """Return the last log lines of a service."""
        return tuple(self._logs[name].tail) if name in self._logs else ()

    def hush(self) -> None:
        """Write to the log files only from now on."""
        for log in self._logs.values():
            log.terminal = None

    async def close(self) -> None:
        """Close the pipes, and wait a moment for the rest of their output."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        # Reason: a grandchild process may keep its end of a pipe open for ever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                for log in self._logs.values():
                    await log.is_closed.wait()

    async def _open(self, name: str, terminal: Terminal | None) -> int:
        path = self._folder / f"{name}.log"
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        file = path.open("wb")
        prefix = self._terminal.prefix(name, _STYLES[len(self._logs) % len(_STYLES)])
        log = ServiceLog(file, terminal, prefix)
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: log, os.fdopen(read_end, "rb", 0))
        self._logs[name] = log
        return write_end
