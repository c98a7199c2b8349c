"""What the sandbox costs: the processor's time that one start of a subscription takes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Measure
from tests.sandbox import servers
from tests.sandbox.servers import UNCHECKED, Sandbox

STARTS = 25
CALLS = 7
MOST_MILLISECONDS = 25
MOST_FOR_CHECKING = 0.6
"""How much of a call's own time its checking may add."""
STAT = Path("/proc/self/stat")

pytestmark = pytest.mark.skipif(not STAT.exists(), reason="processor time is read from /proc")


def cpu_seconds(pid: int) -> float:
    """Return the processor's time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_subscription(sandbox: Sandbox) -> Any:
    """Do all that a start takes, beginning with an account that knows nothing."""
    api = sandbox.api
    customer = api.customers.create({"email": "eve@example.com", "metadata": {"user_id": "1"}})
    card = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    settings = {"default_payment_method": card.id}
    api.customers.update(customer.id, {"invoice_settings": settings})
    product = api.products.create({"name": "Pro"})
    price = api.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 2_000,
            "recurring": {"interval": "month"},
        }
    )
    path = "latest_invoice.payments.data.payment.payment_intent"
    started = api.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id, "quantity": 1}],
            "payment_behavior": "allow_incomplete",
            "off_session": True,
            "metadata": {"subscription_id": "1"},
            "expand": [path],
        }
    )
    return api.subscriptions.retrieve(started.id, {"expand": [path]})


def cost_of_a_start(folder: Path, environ: Mapping[str, str]) -> tuple[float, int]:
    """Return a start's milliseconds of the sandbox's CPU, and how many webhooks it sends."""
    with servers.receiver() as hooks:
        sandbox = servers.start(folder, webhook_url=hooks.url, environ=environ)
        assert start_subscription(sandbox).status == "active"
        sandbox.quiet()
        told, before = len(hooks.events), cpu_seconds(sandbox.process.pid)
        for _ in range(STARTS):
            start_subscription(sandbox)
        sandbox.quiet()
        used = cpu_seconds(sandbox.process.pid) - before
        sandbox.end()
    return used / STARTS * 1_000, (len(hooks.events) - told) // STARTS


def measured(folder: Path, measure: Measure) -> tuple[float, float]:
    """Return a start's milliseconds of CPU, and which share of them checking adds."""
    cost, told = cost_of_a_start(folder / "plain", UNCHECKED)
    checked, _ = cost_of_a_start(folder / "checked", os.environ)
    measure(
        f"one subscription start: {cost:.1f} ms of the sandbox's CPU with its {CALLS} calls and "
        f"{told} webhooks; --check adds {(checked - cost) / CALLS:.1f} ms to a call"
    )
    assert told > 0
    return cost, checked / cost - 1


def test_the_cost_of_one_start_is_measured(tmp_path: Path, measure: Measure) -> None:
    measured(tmp_path, measure)


@pytest.mark.soak
def test_one_start_costs_at_most_25_ms(tmp_path: Path, measure: Measure) -> None:
    cost, added = measured(tmp_path, measure)
    assert cost <= MOST_MILLISECONDS
    assert added <= MOST_FOR_CHECKING
