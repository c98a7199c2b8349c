"""Somebody else's scenarios pass: PyPI's billing-e2e, which was written for Stripe itself."""

import time
from importlib.resources import files
from types import SimpleNamespace

import pytest
import stripe
from billing_e2e import checks
from billing_e2e.runner import Runner
from billing_e2e.safety import confirm_test_mode
from billing_e2e.scenario import Config, load_scenario

from tests.sandbox.conftest import open_shop
from tests.sandbox.servers import Sandbox

FOLDER = files("billing_e2e") / "scenarios"
SCENARIOS = (
    "cancel-at-period-end.yml",
    "failed-renewal.yml",
    "plan-change.yml",
    "renewal.yml",
    "signup-card-problems.yml",
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have billing-e2e look again sooner than at Stripe, which takes seconds for everything."""
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: time.sleep(0.02))
    monkeypatch.setattr(checks, "time", clock)


def test_the_scenarios_are_all_that_there_are() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.usefixtures("impatient")
def test_scenario(name: str, sandbox: Sandbox) -> None:
    # Reason: one scenario wants an account whose retries end with a cancellation.
    sandbox.control("retries", days=[3, 5, 7], then="cancel")
    key = "sk_test_sandbox"
    client = stripe.StripeClient(key, base_addresses={"api": sandbox.url}, max_network_retries=0)
    confirm_test_mode(client)
    prices = {
        "monthly_price": open_shop(sandbox).price,
        "upgrade_price": open_shop(sandbox, amount=5_000).price,
    }
    played = Runner(Config(stripe_key=key, vars=prices), client).run(
        load_scenario(str(FOLDER / name))
    )
    sandbox.control("retries")
    assert played.errors == []
    assert [(step.label, step.detail) for step in played.steps if not step.passed] == []
    assert played.passed
    assert played.steps
