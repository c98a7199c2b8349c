"""What operators look at, and from where it is seen."""

import re

import httpx

from tests.e2e.client import Document, World
from tests.e2e.running import wait_for
from tests.e2e.story import Subscribed


def test_the_counts_of_api_and_worker_are_on_one_port_of_its_own(
    world: World,
    plan: Document,
) -> None:
    customer = Subscribed(world, plan)
    customer.subscribe()
    facts = world.stack.facts
    assert world.api.get("/metrics").status_code == 404

    def text() -> str | None:
        found = httpx.get(f"{facts['metrics']}/metrics", timeout=20).text
        # Reason: a worker that an earlier test has killed still counts for minutes.
        pollers = re.search(
            r'task_queue_pollers\{kind="workflow",task_queue="billing"} [1-9]', found
        )
        is_whole = "webhook_events_total{" in found and "active_agents" in found and pollers
        return found if is_whole else None

    wait_for("counts of the API", text)
    assert "temporal_worker_task_slots_available" in text_of(facts["worker"])


def text_of(address: str) -> str:
    return httpx.get(f"{address}/metrics", timeout=20).text


def test_a_worker_says_whether_it_works(world: World) -> None:
    address = world.stack.facts["worker"]
    live, ready = (httpx.get(f"{address}/health/{page}", timeout=20) for page in ("live", "ready"))
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    with world.stack.down("temporal"):
        assert httpx.get(f"{address}/health/live", timeout=20).status_code == 200

        def is_told() -> bool:
            return httpx.get(f"{address}/health/ready", timeout=20).status_code == 503

        wait_for("a worker without Temporal", is_told)
    wait_for("the worker", lambda: httpx.get(f"{address}/health/ready", timeout=20).is_success)
