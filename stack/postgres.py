"""The embedded PostgreSQL: its cluster, and its recovery after SIGKILL."""

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
from stack.system_user import BARE_ENVIRONMENT, check_reach, shell

_DATABASE = "perdure"
_LEFTOVER_ROUND_SECONDS = 0.1
_POLITE_ROUNDS = 20
_MOST_ROUNDS = 60

# Reason: run as the database's own user, since even root may lack the right to see where another
# user's process works. A process counts by its working folder: all of PostgreSQL's are in the
# cluster's.
_SIGNAL_LEFTOVERS = """
for process in /proc/[0-9]*; do
  [ "$process/cwd" -ef "$1" ] || continue
  read -r name < "$process/comm" && [ "$name" = postgres ] || continue
  kill -"$2" "${process#/proc/}" && echo "${process#/proc/}"
done 2> /dev/null
"""


@dataclass(frozen=True)
class Cluster:
    """One cluster: a folder of data, the program that serves it, and who may run that."""

    program: str
    folder: Path
    password: str
    port: int
    system_user: SystemUser | None

    @property
    def command(self) -> list[str]:
        """The postmaster's command line."""
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            **dict.fromkeys(("timezone", "log_timezone"), "UTC"),
            "log_checkpoints": "off",
        }
        if sys.platform == "linux":
            # Reason: after SIGKILL one call for all files; one a file takes seconds.
            settings["recovery_init_sync_method"] = "syncfs"
        flags = [service for item in settings.items() for service in ("-c", "=".join(item))]
        return [self.program, "-D", str(self.folder), *flags]

    async def check(self) -> None:
        """Make sure that the database's user can reach program and data.

        Raises:
            StackError: It cannot.
        """
        await check_reach(self.system_user, Path(self.program).parent, self.folder.parent)
        wanted = self.system_user.uid if self.system_user else os.geteuid()
        if self.folder.exists() and (owner := self.folder.stat().st_uid) != wanted:
            raise StackError(
                f"{self.folder} belongs to user id {owner}, and PostgreSQL would run as {wanted}:"
                " start the stack as the user who made it, or choose another place (--data)"
            )

    async def prepare(self) -> None:
        """Make the cluster where it is missing, and clear away what a killed one left.

        Raises:
            StackError: initdb failed, or old processes do not go.
        """
        if not self.folder.exists():
            await self._initialise()
        await _clear_leftovers(self.folder, self.system_user)

    async def probe(self) -> str | None:
        """Connect, and make the database where it is missing.

        Returns:
            None when it is ready, else why not.

        Raises:
            StackError: The cluster has another password.
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
                    f"{self.folder} was made with another password than secrets.json has"
                ) from error
            return str(error).strip()
        return None

    async def _initialise(self) -> None:
        # Reason: made under another name, so that a killed initdb leaves no half cluster behind.
        draft = self.folder.with_name(f"{self.folder.name}.new")
        password_file = self.folder.with_name(f"{self.folder.name}.password")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self.system_user is not None:
            for path in (draft, password_file):
                os.chown(path, self.system_user.uid, self.system_user.gid)
        command = [str(Path(self.program).with_name("initdb")), "-D", str(draft)]
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
            raise StackError("initdb could not make the database", tuple(output.splitlines()))
        draft.rename(self.folder)


async def _clear_leftovers(folder: Path, system_user: SystemUser | None) -> None:
    for number in range(_MOST_ROUNDS):
        signal_name = "QUIT" if number < _POLITE_ROUNDS else "KILL"
        _, pids = await shell(system_user, _SIGNAL_LEFTOVERS, str(folder), signal_name)
        if not pids:
            break
        await asyncio.sleep(_LEFTOVER_ROUND_SECONDS)
    else:
        raise StackError(f"old PostgreSQL processes do not leave {folder}: {pids.split()}")
    # Reason: nobody is there, so the file is stale; its pid may by now be somebody else's.
    (folder / "postmaster.pid").unlink(missing_ok=True)
