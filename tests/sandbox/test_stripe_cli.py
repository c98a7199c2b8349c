"""Stripe's own CLI plays its triggers against the sandbox, which checks all of their traffic.

`make stripe-cli` installs the CLI and runs this; it needs no login, and no network once installed.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox import servers
from tests.sandbox.servers import ROOT, Sandbox
from tests.sandbox.triggers import CLOCK, LEFT_OUT, TRIGGERS

CLI = ROOT / "node_modules" / ".bin" / "stripe"
ACCESS = ("--api-key", "sk_test_0123456789abcdef", "--api-base")
# What may come along with any change, as at Stripe, and tells nothing about the trigger.
BESIDES = {
    "billing_portal.configuration.created",  # the account's first session makes its default
    "charge.updated",
    "customer.updated",
    "invoice.updated",
    "plan.created",
}

pytestmark = [
    pytest.mark.stripe_cli,
    pytest.mark.skipif(not CLI.exists(), reason="Stripe's CLI is not here: make stripe-cli"),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox for the CLI alone."""
    sandbox = servers.start(tmp_path_factory.mktemp("cli"))
    sandbox.control("portal-settings")
    yield sandbox
    sandbox.stop()


def _stripe(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLI), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _events_after(sandbox: Sandbox, event_id: str | None) -> list[dict[str, Any]]:
    """Return the events since one, oldest first."""
    page = {"limit": "100"} | ({"ending_before": event_id} if event_id else {})
    headers = {"Authorization": "Bearer sk_test_sandbox"}
    answer = sandbox.http.get("/v1/events", params=page, headers=headers).raise_for_status().json()
    assert not answer["has_more"]
    events: list[dict[str, Any]] = answer["data"][::-1]
    return events


def _found(events: list[dict[str, Any]], wanted: Counter[str]) -> Counter[str]:
    found = Counter(event["type"] for event in events)
    for name in BESIDES:
        found[name] = min(found[name], wanted[name])
    return +found


def _field(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


@pytest.mark.parametrize("name", TRIGGERS)
def test_trigger(name: str, target: Sandbox, tmp_path: Path) -> None:
    trigger, wanted = TRIGGERS[name], Counter(TRIGGERS[name].events)
    before = len(target.see("requests")["items"])
    newest = target.api.events.list({"limit": 1}).data
    last = newest[0].id if newest else None

    done = _stripe(tmp_path, "trigger", name, *ACCESS, target.url, *trigger.arguments)

    assert done.returncode == 0, done.stdout + done.stderr
    asked = target.see("requests")["items"][before:]
    assert {one["status"] for one in asked[1:]} <= {200, 402}, asked
    if f"{CLOCK}.ready" in trigger.events:
        # Reason: a test clock arrives after the call that has sent it on its way.
        servers.wait_for(
            "its arrival", lambda: wanted <= _found(_events_after(target, last), wanted)
        )
    events = _events_after(target, last)
    assert _found(events, wanted) == wanted
    last_of = {event["type"]: event["data"]["object"] for event in events}
    for kind, fields in trigger.shows.items():
        assert {path: _field(last_of[kind], path) for path in fields} == fields


def test_a_trigger_that_does_not_get_through_is_noticed(target: Sandbox, tmp_path: Path) -> None:
    target.control("faults", api=[{"match": "POST /v1/products", "times": 1, "before": 500}])
    done = _stripe(tmp_path, "trigger", "product.created", *ACCESS, target.url)
    assert done.returncode != 0


def test_every_trigger_is_run_or_left_out_for_a_reason(tmp_path: Path) -> None:
    told = _stripe(tmp_path, "trigger", "--help").stdout.partition("Supported events:")[2]
    known = {line.strip() for line in told.partition("Usage:")[0].splitlines() if line.strip()}
    assert len(known) > 100
    left_out = {name for name in known if name.startswith(tuple(LEFT_OUT))}
    assert known - left_out == TRIGGERS.keys()
    assert [start for start in LEFT_OUT if not any(n.startswith(start) for n in known)] == []
