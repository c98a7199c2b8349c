"""Has all Stripe sandboxes of a test run check their traffic against stripe-python's types."""

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
    """Counts of what the sandboxes of this process have checked."""

    requests: int = 0
    responses: int = 0
    events: int = 0
    sandboxes: int = 0
    deviations: int = 0


TRAFFIC = Traffic()


def settle(url: str) -> None:
    """Assert that a sandbox has checked all of its traffic without deviations; call before its end.

    Args:
        url: Address of the Stripe sandbox.
    """
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
    """Return `settle`, for modules that cannot import this one."""
    return settle


def pytest_configure() -> None:
    """Set the variable that makes every sandbox started by a test check its traffic."""
    os.environ[CHECK] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Pass the counts of a worker process of pytest-xdist to the main process."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["stripe_traffic"] = asdict(TRAFFIC)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a worker process that has ended."""
    for name, count in getattr(node, "workeroutput", {}).get("stripe_traffic", {}).items():
        setattr(TRAFFIC, name, getattr(TRAFFIC, name) + count)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the counts; a deviation has made a test fail before."""
    if TRAFFIC.sandboxes:
        terminalreporter.section("Stripe's shapes")
        terminalreporter.write_line(
            f"{TRAFFIC.requests} requests, {TRAFFIC.responses} responses and {TRAFFIC.events} "
            f"events of {TRAFFIC.sandboxes} sandboxes checked, "
            f"{TRAFFIC.deviations} deviations"
        )
