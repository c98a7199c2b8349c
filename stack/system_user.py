"""The user that PostgreSQL runs as when we are root, and what that user can do."""

import fcntl
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.part import Account
from stack.process import run

BARE_ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C"}

_SYSTEM_USER = "embedded_postgres"
_FIRST_CLOSED_FOLDER = 'for path; do [ -x "$path" ] || { echo "$path"; exit 1; }; done'


def find_account() -> Account | None:
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
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


@contextmanager
def _alone() -> Iterator[None]:
    """Let stacks that start side by side look for the user, and make it, one after the other."""
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


async def shell(account: Account | None, script: str, *arguments: str) -> tuple[int, str]:
    """Run a shell script as `account`.

    Args:
        account: Whom to run it as; None means as ourselves.
        script: Its text.
        arguments: Its `$1` and so on.

    Returns:
        Exit code, and all it said.
    """
    command = ["/bin/sh", "-c", script, "sh", *arguments]
    return await run(command, environment=BARE_ENVIRONMENT, account=account)


async def check_reach(account: Account | None, programs: Path, data: Path) -> None:
    """Make sure that a user can pass through all folders down to these two.

    Args:
        account: Which user; None means ourselves.
        programs: Where the programs are.
        data: The data folder, which is ours: its group is let through where that helps.

    Raises:
        StackError: Some folder is closed.
    """
    folders = [str(path) for leaf in (programs, data) for path in (*reversed(leaf.parents), leaf)]
    code, closed = await shell(account, _FIRST_CLOSED_FOLDER, *folders)
    if code == 0:
        return
    if account is not None and closed == str(data):
        _let_group_pass(data, account)
        return
    who = f"the system user {_SYSTEM_USER}" if account else "this user"
    raise StackError(
        f"PostgreSQL runs as {who}, which cannot pass through {closed}:"
        f" open that folder (chmod o+x {closed}), or choose another place (--data)"
    )


def _let_group_pass(folder: Path, account: Account) -> None:
    os.chown(folder, -1, account.gid)
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
