"""Runs Python of models in `pydantic-monty`: without files, network, environment and packages.

The interpreter is no CPython and has no code for what a script must not do. Each script gets a
process of its own with limits, which is killed when its caller is canceled.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from domain.errors import UnavailableError

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty, MontyError

log = structlog.get_logger(__name__)

# Characters of an error's message that are kept.
MAX_MESSAGE_LENGTH = 2_000
# Reason: without it the value of the script's last line would be sent to this process.
_NO_VALUE = "\nNone"
# Seconds after which a process that does not answer is killed, beyond the limit of its time.
_GRACE_SECONDS = 5.0


class ScriptErrorCode(StrEnum):
    """What was wrong with a script."""

    SYNTAX = "python_syntax_error"
    EXCEPTION = "python_exception"
    TIME = "python_time_limit"
    MEMORY = "python_memory_limit"
    OUTPUT = "python_output_limit"
    OUTPUTS = "python_outputs_invalid"
    CRASHED = "python_crashed"


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of one script; `output_bytes` limits what it prints."""

    seconds: float = 10.0
    memory_bytes: int = 64_000_000
    output_bytes: int = 100_000
    recursion_depth: int = 500


class Script(NamedTuple):
    """A script to run.

    Args:
        code: The source.
        files: Contents by name, which the script finds as `files`.
        at: The time that all its clocks show.
        seed: Where its random numbers begin.
    """

    code: str
    files: Mapping[str, str | bytes]
    at: datetime
    seed: str


class ScriptError(NamedTuple):
    """What was wrong with a script, and in which line, if that is known."""

    code: ScriptErrorCode
    message: str
    line: int | None = None


@dataclass(frozen=True)
class ScriptResult:
    """What a script has printed and put into `outputs`, or what was wrong with it."""

    printed: str
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    error: ScriptError | None = None


class PythonSandbox:
    """Runs scripts, each in a process of its own; the first one starts the pool of processes."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._pool: AsyncMonty | None = None
        self._starting = asyncio.Lock()
        self._running: set[asyncio.Task[ScriptResult]] = set()

    async def run(self, script: Script) -> ScriptResult:
        """Run a script; whatever it does wrong is told in the result.

        A caller that is canceled leaves no process behind.

        Args:
            script: The script.

        Raises:
            UnavailableError: The sandbox cannot be started.
        """
        running = asyncio.ensure_future(self._run(await self._start(), script))
        self._running.add(running)
        try:
            return await running
        finally:
            running.cancel()
            self._running.discard(running)

    async def _run(self, pool: "AsyncMonty", script: Script) -> ScriptResult:
        from pydantic_monty import CollectString, MontyError  # noqa: PLC0415 - loaded by then

        printed = CollectString(max_bytes=self._limits.output_bytes)
        given = {"files": dict(script.files), "outputs": {}}
        try:
            async with pool.checkout(
                limits={
                    "max_feed_duration_secs": self._limits.seconds,
                    "max_memory": self._limits.memory_bytes,
                    "max_recursion_depth": self._limits.recursion_depth,
                },
                os_policy={
                    "datetime": script.at,
                    "timezone": "utc",
                    "sleep": "zero",
                    "random_start": {"seed": script.seed},
                },
            ) as session:
                await session.feed_run(
                    script.code + _NO_VALUE, inputs=given, print_callback=printed
                )
                outputs = await session.feed_run("outputs")
        except MontyError as error:
            return ScriptResult(
                printed.output, error=_script_error(error, self._limits.output_bytes)
            )
        except RuntimeError:
            # Reason: so the package tells of a process that does not keep to its protocol.
            log.exception("python_sandbox_failed")
            message = "the interpreter broke off"
            return ScriptResult(printed.output, error=ScriptError(ScriptErrorCode.CRASHED, message))
        return _checked(printed.output, outputs)

    async def close(self) -> None:
        """Kill all processes, also those of scripts that run."""
        pool, self._pool = self._pool, None
        # Reason: the pool would leave a running script alone until it has used up its time.
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if pool is not None:
            await pool.__aexit__(None, None, None)

    async def _start(self) -> "AsyncMonty":
        async with self._starting:
            if self._pool is None:
                self._pool = await self._open()
            return self._pool

    async def _open(self) -> "AsyncMonty":
        """Open the pool.

        Raises:
            UnavailableError: The interpreter is missing, or cannot be started.
        """
        try:
            from pydantic_monty import AsyncMonty  # noqa: PLC0415 - few workers run scripts

            pool = AsyncMonty(
                request_timeout=self._limits.seconds + _GRACE_SECONDS,
                # Reason: nothing that a script does to its process can reach another customer's.
                max_checkouts_per_worker=1,
            )
            return await pool.__aenter__()
        except (ImportError, OSError, RuntimeError) as error:
            log.exception("python_sandbox_failed")
            raise UnavailableError("the Python sandbox cannot be started") from error


@asynccontextmanager
async def open_python_sandbox(
    limits: SandboxLimits | None = None,
) -> AsyncIterator[PythonSandbox]:
    """Open a sandbox, which starts processes when they are needed, and kill them at the end."""
    sandbox = PythonSandbox(limits or SandboxLimits())
    try:
        yield sandbox
    finally:
        await sandbox.close()


def _checked(printed: str, outputs: Any) -> ScriptResult:
    """Return the result of a script that ended well, if its outputs are files."""
    if not isinstance(outputs, dict):
        return _invalid(printed, "outputs is no dict any more")
    files: dict[str, bytes] = {}
    for name, content in outputs.items():
        if not isinstance(name, str) or not isinstance(content, str | bytes):
            return _invalid(printed, "outputs must map names of files to texts or bytes")
        files[name] = content.encode(errors="replace") if isinstance(content, str) else content
    return ScriptResult(printed, files)


def _invalid(printed: str, message: str) -> ScriptResult:
    return ScriptResult(printed, error=ScriptError(ScriptErrorCode.OUTPUTS, message))


def _script_error(error: "MontyError", output_bytes: int) -> ScriptError:
    """Return what was wrong with a script, by the error that ended it."""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError  # noqa: PLC0415

    code, line = ScriptErrorCode.CRASHED, None
    message = str(error)
    if isinstance(error, MontySyntaxError | MontyRuntimeError):
        message = error.display("type-msg")
        frames = error.traceback()
        line = frames[-1].line if frames else None
    if isinstance(error, MontySyntaxError):
        code = ScriptErrorCode.SYNTAX
    elif isinstance(error, MontyRuntimeError):
        code = _exception_code(error.exception(), message, output_bytes)
    elif isinstance(error, MontyCrashedError) and error.timed_out:
        code = ScriptErrorCode.TIME
    return ScriptError(code, message[:MAX_MESSAGE_LENGTH], line)


def _exception_code(cause: BaseException, message: str, output_bytes: int) -> ScriptErrorCode:
    match cause:
        case TimeoutError():
            return ScriptErrorCode.TIME
        case MemoryError():
            return (
                ScriptErrorCode.OUTPUT
                if f"> {output_bytes} bytes" in message
                else ScriptErrorCode.MEMORY
            )
    return ScriptErrorCode.EXCEPTION
