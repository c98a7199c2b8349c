"""Starts child processes that read the text of HTML and PDF files, a few at a time."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from adapters.extraction.limits import Limits
from domain.errors import InvalidInputError, UnavailableError
from domain.knowledge.files import FileKind, FileText, SourceFile

ROOT = Path(__file__).parents[2]
# Reason: a child may use a whole processor, and some 200 MB of memory.
CHILDREN_AT_ONCE = 2
# What a child needs to start, and to be killed, besides its own time.
SPARE_SECONDS = 10.0
# Reason: JSON may need 6 bytes for a letter; the child checks the text itself.
BYTES_PER_LETTER = 6
_ERROR_BYTES = 4_000
# Reason: these are how a process ends that exceeds its limits, or that a file has crashed.
_DEATHS = frozenset(
    {
        *(signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL),
        *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    }
)


class Extractor:
    """Reads files in child processes, which see neither secrets nor the database.

    Args:
        limits: Limits of each child.
        turn_seconds: How long a file waits while other files are read.
    """

    def __init__(self, limits: Limits, turn_seconds: float = 5.0) -> None:
        self._limits, self._turn_seconds = limits, turn_seconds
        self._turns = asyncio.Semaphore(CHILDREN_AT_ONCE)

    async def extract(self, kind: FileKind, file: SourceFile) -> FileText:
        """Read the text of a file; a cancel kills the child.

        Args:
            kind: Kind of the file: HTML or PDF.
            file: The file.

        Returns:
            The text, and the title if the file has one.

        Raises:
            InvalidInputError: The file cannot be read; the code says why.
            UnavailableError: Other files come first.
        """
        async with self._turn(), self._child(kind, file.charset) as child:
            try:
                async with asyncio.timeout(self._limits.wall_seconds + SPARE_SECONDS):
                    output, errors = await self._talk(child, file.body)
            except TimeoutError as error:
                raise _too_complex() from error
        if child.returncode == 0:
            return _read_answer(orjson.loads(output))
        if -(child.returncode or 0) in _DEATHS:
            raise _too_complex()
        told = errors[-_ERROR_BYTES:].decode(errors="replace")
        raise RuntimeError(f"the extraction ended with exit code {child.returncode}: {told}")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            raise UnavailableError("other documents come first", "document_in_line") from error
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _child(self, kind: FileKind, charset: str | None) -> AsyncIterator[Process]:
        order = {"kind": kind, "charset": charset, "limits": self._limits._asdict()}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapters.extraction.child", orjson.dumps(order).decode()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
            # Reason: a file that takes the child over must not find the secrets of this process.
            env={"LC_ALL": "C.UTF-8"},
            # Reason: Ctrl-C in a terminal is meant for this process, which ends the child itself.
            start_new_session=True,
        )
        try:
            yield child
        finally:
            await _end(child)

    async def _talk(self, child: Process, body: bytes) -> tuple[bytes, bytes]:
        assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018
        # Reason: a child that has ended already takes no more; its exit code says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            child.stdin.write(body)
            await child.stdin.drain()
        child.stdin.close()
        most = BYTES_PER_LETTER * self._limits.text_bytes + _ERROR_BYTES
        output = await _read_up_to(child.stdout, most)
        errors = await _read_up_to(child.stderr, _ERROR_BYTES)
        await child.wait()
        return output, errors


async def _read_up_to(stream: asyncio.StreamReader, most: int) -> bytes:
    """Read a stream to its end.

    Raises:
        InvalidInputError: It is longer than a child may write.
    """
    found = bytearray()
    while part := await stream.read(65_536):
        found += part
        if len(found) > most:
            raise _too_complex()
    return bytes(found)


async def _end(child: Process) -> None:
    """Kill a child that still runs, and release its pipes."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
    assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018
    child.stdin.close()
    # Reason: pipes that are not read to their end are never closed; a dead child leaves little.
    for stream in (child.stdout, child.stderr):
        await stream.read()
    await child.wait()


def _read_answer(answer: dict[str, Any]) -> FileText:
    if "code" in answer:
        raise InvalidInputError(answer["message"], answer["code"])
    return FileText(answer["text"], answer["title"])


def _too_complex() -> InvalidInputError:
    message = "the file takes more time or memory to be read than a document may"
    return InvalidInputError(message, "document_too_complex")
