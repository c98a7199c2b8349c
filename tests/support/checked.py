"""All traffic of a test run is held against stripe-python's types, by the sandboxes themselves."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import pytest
from _pytest.terminal import TerminalReporter

from adapters.tls import trusted

CHECK = "STRIPE_SANDBOX_CHECK"


@dataclass
class Traffic:
    """What the sandboxes of this process checked."""

    requests: int = 0
    responses: int = 0
    events: int = 0
    sandboxes: int = 0
    deviations: int = 0


TRAFFIC = Traffic()


def settle(url: str) -> None:
    """Ask a sandbox, before it ends, what it checked: that must be all of its traffic, and good."""
    report = httpx.get(f"{url}/_sandbox/deviations", verify=trusted()).raise_for_status().json()
    TRAFFIC.requests += report["checked_request_count"]
    TRAFFIC.responses += report["checked_response_count"]
    TRAFFIC.events += report["checked_event_count"]
    TRAFFIC.sandboxes += 1
    TRAFFIC.deviations += len(report["items"])
    assert report["items"] == []
    if report["checked_response_count"] == 0:
        assert httpx.get(f"{url}/_sandbox/requests", verify=trusted()).json() == {"items": []}


@pytest.fixture(scope="session")
def settling() -> Callable[[str], None]:
    """`settle`, for who cannot import it."""
    return settle


def pytest_configure() -> None:
    """Have every sandbox that a test starts, by whatever way, check."""
    os.environ[CHECK] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the figures of one of several processes to the one that shows them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["stripe_traffic"] = asdict(TRAFFIC)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the figures of a process that has ended."""
    for name, count in getattr(node, "workeroutput", {}).get("stripe_traffic", {}).items():
        setattr(TRAFFIC, name, getattr(TRAFFIC, name) + count)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show the figures; a deviation has failed a test by then."""
    if TRAFFIC.sandboxes:
        terminalreporter.section("Stripe's shapes")
        terminalreporter.write_line(
            f"{TRAFFIC.requests} requests, {TRAFFIC.responses} responses and {TRAFFIC.events} "
            f"events of {TRAFFIC.sandboxes} sandboxes checked, "
            f"{TRAFFIC.deviations} deviations"
        )
