"""Fixtures with one running stack for all end-to-end tests."""

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import open_folder
from tests.e2e.client import Document, World
from tests.e2e.running import RunningStack
from tests.support.checked import settle


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Start all servers of `make up`; after the tests they must stop in order."""
    with open_folder() as folder:
        # Reason: webhooks are sent to receivers of the tests.
        running = RunningStack(folder, "--allow-private", "127.0.0.1")
        try:
            running.wait_until_ready()
            yield running
            settle(running.facts["stripe"])
            running.stop()
        finally:
            running.destroy()
            shutil.copytree(
                folder, tmp_path_factory.mktemp("stack"), ignore=_all_but_logs, dirs_exist_ok=True
            )


def _all_but_logs(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name not in {"data", "logs"} and not name.endswith(".log")]


@pytest.fixture(scope="session")
def world(stack: RunningStack) -> Iterator[World]:
    world = World(stack)
    yield world
    world.close()


@pytest.fixture(scope="session")
def plan(world: World) -> Document:
    return world.plan()
