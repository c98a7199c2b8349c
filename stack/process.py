"""Starts child processes that never outlive this process."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stack.errors import StackError
from stack.service import Service, SystemUser

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


async def spawn(service: Service, output: int) -> asyncio.subprocess.Process:
    """Start a service in a session of its own, so that Ctrl-C reaches only the supervisor.

    Args:
        service: Service to start.
        output: File descriptor for the output of the service.

    Returns:
        Running child process.

    Raises:
        StackError: The program cannot be run.
    """
    return await _create(
        service.command,
        service.system_user,
        service.orphan_signal,
        stdin=asyncio.subprocess.PIPE if service.has_standby else asyncio.subprocess.DEVNULL,
        stdout=output,
        env=service.environment,
        cwd=service.working_folder,
    )


async def run(
    command: Sequence[str], *, environment: Mapping[str, str], system_user: SystemUser | None = None
) -> tuple[int, str]:
    """Run a short command and wait until it ends.

    Args:
        command: Program and arguments.
        environment: Complete environment of the command.
        system_user: System user that the command runs as; None means the current user.

    Returns:
        Exit code and output.

    Raises:
        StackError: The program cannot be run.
    """
    process = await _create(
        command,
        system_user,
        signal.SIGKILL,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    return process.returncode or 0, output.decode(errors="replace").strip()


def describe_exit(exit_code: int) -> str:
    """Describe an exit code in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"exit code {exit_code}, killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"exit code {exit_code}, killed by signal {-exit_code}"


async def _create(
    command: Sequence[str],
    system_user: SystemUser | None,
    orphan_signal: signal.Signals,
    **options: Any,
) -> asyncio.subprocess.Process:
    if system_user is not None:
        options |= {"user": system_user.uid, "group": system_user.gid, "extra_groups": []}
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent(orphan_signal),
            **options,
        )
    except OSError as error:
        raise StackError(f"{command[0]} cannot be run: {error.strerror or error}") from error


def _end_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    prctl, parent = _LIBC.prctl, os.getpid()

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        # Reason: the parent may have died between the fork and this line.
        if os.getppid() != parent:
            os._exit(1)

    return request_signal
