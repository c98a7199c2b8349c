"""`up --reload`: who adds an agent sees it without a new start, and what runs goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import open_folder
from tests.e2e.client import World
from tests.e2e.running import RunningStack, copy_product, wait_for

SPEC = """
description = "Answers in one sentence, from the customer's documents."
pattern = "pipeline"
prompt_version = "v1"
difficulty = "small"
tools = ["search_memory"]
passage_count = 6
max_step_count = 4
max_answer_tokens = 300
approval_ttl = "4h"
"""


@pytest.fixture
def copied() -> Iterator[Path]:
    """Copy the product into a folder that PostgreSQL's user can reach."""
    with open_folder() as folder:
        yield copy_product(folder)


@pytest.fixture
def reloading(copied: Path) -> Iterator[RunningStack]:
    running = RunningStack(copied.parent, "--reload", project=copied)
    try:
        running.wait_until_ready()
        yield running
        running.stop()
    finally:
        running.destroy()


@pytest.fixture
def world(reloading: RunningStack) -> Iterator[World]:
    found = World(reloading)
    yield found
    found.close()


def agents(world: World) -> set[str]:
    """Return the names of the agents that the API knows."""
    return {each["agent"] for each in world.admin.get("agents")["items"]}


def test_a_new_agent_is_there_and_a_subscription_goes_on(
    copied: Path, reloading: RunningStack, world: World
) -> None:
    before = {name: reloading.pid(name) for name in reloading.facts["pids"]}
    customer, plan = world.customer(), world.plan()
    made = customer.post("subscriptions", plan_id=plan["plan_id"])
    assert "concierge" not in agents(world)

    (copied / "agents/prompts/concierge").mkdir()
    (copied / "agents/prompts/concierge/v1.md").write_text("You answer in one sentence.")
    (copied / "agents/specs/concierge.toml").write_text(SPEC)
    wait_for("the new agent", lambda: "concierge" in agents(world))
    wait_for("a new worker", lambda: reloading.pid("worker") != before["worker"])
    canceled = customer.post(f"subscriptions/{made['subscription_id']}/cancel", mode="now")
    assert canceled["subscription_status"] in {"canceled", "incomplete_expired"}

    after = {name: reloading.pid(name) for name in reloading.facts["pids"]}
    assert {name for name in before if after[name] != before[name]} == {"worker", "api"}
    log = (copied.parent / "up.log").read_text()
    assert "changed; starting worker and API again" in log
    assert "died" not in log
