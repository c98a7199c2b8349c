"""Embedded PostgreSQL: its cluster, and the cleanup after SIGKILL."""

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.errors import StackError
from stack.ports import HOST
from stack.process import run
from stack.service import SystemUser
from stack.system_user import BARE_ENVIRONMENT, check_access, shell

_DATABASE = "perdure"
_LEFTOVER_ROUND_SECONDS = 0.1
_QUIT_ROUNDS = 20
_MAX_ROUNDS = 60

# Reason: runs as the system user of PostgreSQL, since even root may lack the right to read the
# working folder of another user's process. A process belongs to the cluster if its name is
# `postgres` and its working folder is the folder of the cluster.
_SIGNAL_LEFTOVERS = """
for process in /proc/[0-9]*; do
  [ "$process/cwd" -ef "$1" ] || continue
  read -r name < "$process/comm" && [ "$name" = postgres ] || continue
  kill -"$2" "${process#/proc/}" && echo "${process#/proc/}"
done 2> /dev/null
"""


@dataclass(frozen=True)
class Cluster:
    """PostgreSQL cluster: its data folder, its server program and the user that runs it."""

    program: str
    folder: Path
    password: str
    port: int
    system_user: SystemUser | None

    @property
    def command(self) -> list[str]:
        """Command line of the postmaster."""
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            **dict.fromkeys(("timezone", "log_timezone"), "UTC"),
            "log_checkpoints": "off",
        }
        if sys.platform == "linux":
            # Reason: after SIGKILL one sync call covers all files; one call per file takes seconds.
            settings["recovery_init_sync_method"] = "syncfs"
        flags = [argument for item in settings.items() for argument in ("-c", "=".join(item))]
        return [self.program, "-D", str(self.folder), *flags]

    async def check(self) -> None:
        """Check that the system user can reach the program and owns the data folder.

        Raises:
            StackError: The system user cannot reach a folder, or does not own the data folder.
        """
        await check_access(self.system_user, Path(self.program).parent, self.folder.parent)
        user_id = self.system_user.uid if self.system_user else os.geteuid()
        if self.folder.exists() and (owner := self.folder.stat().st_uid) != user_id:
            raise StackError(
                f"{self.folder} belongs to user id {owner}, and PostgreSQL would run as {user_id}:"
                " start the stack as the folder's owner, or choose another data folder (--data)"
            )

    async def prepare(self) -> None:
        """Create the cluster if it is missing, and end the processes that a killed one left.

        Raises:
            StackError: initdb failed, or old processes do not end.
        """
        if not self.folder.exists():
            await self._initialise()
        await _clear_leftovers(self.folder, self.system_user)

    async def probe(self) -> str | None:
        """Connect to the server, and create the database if it is missing.

        Returns:
            None if the database is ready, else the reason why it is not.

        Raises:
            StackError: The cluster was created with another password.
        """
        address = f"postgresql://{_DATABASE}@{HOST}:{self.port}/postgres"
        try:
            async with await psycopg.AsyncConnection.connect(
                address, password=self.password, autocommit=True, connect_timeout=5
            ) as connection:
                found = await connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]
                )
                if await found.fetchone() is None:
                    await connection.execute(f"CREATE DATABASE {_DATABASE}")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"{self.folder} was created with another password than the one in secrets.json"
                ) from error
            return str(error).strip()
        return None

    async def _initialise(self) -> None:
        # Reason: created under another name, so that a killed initdb leaves no incomplete cluster.
        temporary = self.folder.with_name(f"{self.folder.name}.new")
        password_file = self.folder.with_name(f"{self.folder.name}.password")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self.system_user is not None:
            for path in (temporary, password_file):
                os.chown(path, self.system_user.uid, self.system_user.gid)
        command = [str(Path(self.program).with_name("initdb")), "-D", str(temporary)]
        command += ["--username", _DATABASE, "--pwfile", str(password_file)]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        try:
            code, output = await run(
                command, environment=BARE_ENVIRONMENT, system_user=self.system_user
            )
        finally:
            password_file.unlink()
        if code != 0:
            raise StackError("initdb could not create the cluster", tuple(output.splitlines()))
        temporary.rename(self.folder)


async def _clear_leftovers(folder: Path, system_user: SystemUser | None) -> None:
    for round_number in range(_MAX_ROUNDS):
        signal_name = "QUIT" if round_number < _QUIT_ROUNDS else "KILL"
        _, pids = await shell(system_user, _SIGNAL_LEFTOVERS, str(folder), signal_name)
        if not pids:
            break
        await asyncio.sleep(_LEFTOVER_ROUND_SECONDS)
    else:
        raise StackError(f"old PostgreSQL processes of {folder} do not end: {pids.split()}")
    # Reason: no server runs, so the file is stale; its pid may belong to another process by now.
    (folder / "postmaster.pid").unlink(missing_ok=True)
