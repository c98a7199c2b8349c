"""The user that PostgreSQL runs as when we are root, and what that user can do."""

import fcntl
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.process import run
from stack.service import SystemUser

BARE_ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C"}

_SYSTEM_USER = "embedded_postgres"
_FIRST_CLOSED_FOLDER = 'for path; do [ -x "$path" ] || { echo "$path"; exit 1; }; done'


def find_system_user() -> SystemUser | None:
    """Return whom PostgreSQL has to run as: it refuses root, so root needs a user for it.

    Returns:
        None when we are a normal user ourselves.

    Raises:
        StackError: The user is missing and cannot be made.
    """
    if os.geteuid() != 0:
        return None
    with _alone():
        try:
            entry = pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            entry = _make_system_user()
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)


@contextmanager
def _alone() -> Iterator[None]:
    """Let stacks that start side by side look for the user, and make it, one after the other."""
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


async def shell(system_user: SystemUser | None, script: str, *arguments: str) -> tuple[int, str]:
    """Run a shell script as `system_user`.

    Args:
        system_user: Whom to run it as; None means as ourselves.
        script: Its text.
        arguments: Its `$1` and so on.

    Returns:
        Exit code, and all it said.
    """
    command = ["/bin/sh", "-c", script, "sh", *arguments]
    return await run(command, environment=BARE_ENVIRONMENT, system_user=system_user)


async def check_reach(system_user: SystemUser | None, programs: Path, data: Path) -> None:
    """Make sure that a user can pass through all folders down to these two.

    Args:
        system_user: Which user; None means ourselves.
        programs: Where the programs are.
        data: The data folder, which is ours: its group is let through where that helps.

    Raises:
        StackError: Some folder is closed.
    """
    folders = [str(path) for leaf in (programs, data) for path in (*reversed(leaf.parents), leaf)]
    code, closed = await shell(system_user, _FIRST_CLOSED_FOLDER, *folders)
    if code == 0:
        return
    if system_user is not None and closed == str(data):
        _let_group_pass(data, system_user)
        return
    who = f"the system user {_SYSTEM_USER}" if system_user else "this user"
    raise StackError(
        f"PostgreSQL runs as {who}, which cannot pass through {closed}:"
        f" open that folder (chmod o+x {closed}), or choose another place (--data)"
    )


def _let_group_pass(folder: Path, system_user: SystemUser) -> None:
    os.chown(folder, -1, system_user.gid)
    folder.chmod(folder.stat().st_mode | 0o010)


def _make_system_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        outcome = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True
        )
        return pwd.getpwnam(_SYSTEM_USER)
    except FileNotFoundError:
        reason = "useradd was not found"
    except KeyError:
        reason = outcome.stderr.strip()
    raise StackError(
        f"PostgreSQL does not run as root, and its system user {_SYSTEM_USER} cannot be made:"
        f" {reason}"
    )
