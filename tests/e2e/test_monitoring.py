"""What operators look at, and from where it is seen."""

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
        is_both = "webhook_events_total{" in found and "active_agents" in found
        return found if is_both else None

    wait_for("counts of the API", text)
    ours = httpx.get(f"{facts['worker']}/metrics", timeout=20)
    assert ours.status_code == 200


def test_a_worker_says_whether_it_works(world: World) -> None:
    address = world.stack.facts["worker"]
    for path, status in (("/health", "ok"), ("/health/ready", "ready")):
        reply = httpx.get(f"{address}{path}", timeout=20)
        assert (reply.status_code, reply.json()) == (200, {"status": status})
    with world.stack.down("temporal"):
        assert httpx.get(f"{address}/health", timeout=20).status_code == 200

        def is_told() -> bool:
            return httpx.get(f"{address}/health/ready", timeout=20).status_code == 503

        wait_for("a worker without Temporal", is_told)
    wait_for("the worker", lambda: httpx.get(f"{address}/health/ready", timeout=20).is_success)
