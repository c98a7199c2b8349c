"""The stacks that are measured side by side, each started from the tree of one commit."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import open_folder
from tests.e2e.client import World
from tests.e2e.running import PROJECT, RunningStack

# Reason: every resting workflow has to stay in the worker's cache while its memory is measured.
ENVIRONMENT = {"WORKER__CACHED_WORKFLOW_COUNT": "3000"}


@dataclass(frozen=True)
class Side:
    """A running stack of one commit.

    Args:
        name: `now` for this tree, `before` for the other one.
        world: Clients of the stack.
    """

    name: str
    world: World

    @property
    def stack(self) -> RunningStack:
        """The running stack."""
        return self.world.stack


@contextmanager
def running_sides(before: Path | None) -> Iterator[list[Side]]:
    """Start the stack of this tree, and that of another one if it is given.

    Args:
        before: Folder with the files of another commit; None measures this tree alone.
    """
    trees: Mapping[str, Path] = {"before": before, "now": PROJECT} if before else {"now": PROJECT}
    os.environ.update(ENVIRONMENT)
    with ExitStack() as stack:
        yield [Side(name, stack.enter_context(_world(tree))) for name, tree in trees.items()]


@contextmanager
def _world(tree: Path) -> Iterator[World]:
    with open_folder() as folder:
        running = RunningStack(folder, project=tree)
        try:
            running.wait_until_ready()
            world = World(running)
            yield world
            world.close()
            running.stop()
        finally:
            running.destroy()
