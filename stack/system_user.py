"""System user that PostgreSQL runs as under root, and the folders that this user can reach."""

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
    """Return the system user that PostgreSQL must run as, since PostgreSQL refuses root.

    Returns:
        The system user; None if the current user is not root.

    Raises:
        StackError: The system user is missing and cannot be created.
    """
    if os.geteuid() != 0:
        return None
    with _user_creation_lock():
        try:
            entry = pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            entry = _create_system_user()
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)


@contextmanager
def _user_creation_lock() -> Iterator[None]:
    """Hold a lock, so that stacks that start at the same time create the system user once."""
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


async def shell(system_user: SystemUser | None, script: str, *arguments: str) -> tuple[int, str]:
    """Run a shell script as a system user.

    Args:
        system_user: System user that the script runs as; None means the current user.
        script: Text of the script.
        arguments: Values of `$1` and so on.

    Returns:
        Exit code and output.
    """
    command = ["/bin/sh", "-c", script, "sh", *arguments]
    return await run(command, environment=BARE_ENVIRONMENT, system_user=system_user)


async def check_access(system_user: SystemUser | None, programs: Path, data: Path) -> None:
    """Check that a system user can pass through all folders down to programs and data.

    Args:
        system_user: System user to check; None means the current user.
        programs: Folder of the programs.
        data: Data folder of the stack; if it is closed, the group of the user gets access.

    Raises:
        StackError: A folder is closed to the user.
    """
    folders = [str(path) for leaf in (programs, data) for path in (*reversed(leaf.parents), leaf)]
    code, closed = await shell(system_user, _FIRST_CLOSED_FOLDER, *folders)
    if code == 0:
        return
    if system_user is not None and closed == str(data):
        _allow_group(data, system_user)
        return
    who = f"the system user {_SYSTEM_USER}" if system_user else "this user"
    raise StackError(
        f"PostgreSQL runs as {who}, which cannot pass through {closed}:"
        f" open that folder (chmod o+x {closed}), or choose another data folder (--data)"
    )


def _allow_group(folder: Path, system_user: SystemUser) -> None:
    os.chown(folder, -1, system_user.gid)
    folder.chmod(folder.stat().st_mode | 0o010)


def _create_system_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        completed = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, text=True
        )
        return pwd.getpwnam(_SYSTEM_USER)
    except FileNotFoundError:
        reason = "useradd was not found"
    except KeyError:
        reason = completed.stderr.strip()
    raise StackError(
        f"PostgreSQL does not run as root, and its system user {_SYSTEM_USER} cannot be created:"
        f" {reason}"
    )
