"""`--fast-retries`: a newcomer sees a failed renewal recovered within a minute."""

import os
import subprocess
import sys
from uuid import uuid4

from commands.migrate import FAST_POLICY
from domain.payment_retries.policy import RetryPolicy
from tests.e2e.client import World
from tests.e2e.running import PROJECT
from tests.e2e.story import Subscribed

STRIPE = "https://api.stripe.com"


def migrate(world: World, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Migrate as `up` does it, with or without the option."""
    facts = world.stack.facts
    environ = {
        "DATABASE_URL": facts["database_url"],
        "TEMPORAL__ADDRESS": facts["temporal"],
        "STRIPE__API_BASE": facts["stripe"],
        "AUTH__JWT_SECRET": "x" * 32,
    }
    return subprocess.run(
        [sys.executable, "cli.py", "migrate", *options],
        cwd=PROJECT,
        env={**os.environ, **environ, **changes},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def policy(world: World) -> RetryPolicy:
    """Return the policy `default` as the API shows it."""
    shown = world.admin.get("retry-policies/default")
    return RetryPolicy.model_validate({name: shown[name] for name in RetryPolicy.model_fields})


def test_a_failed_renewal_is_recovered_and_the_policy_is_put_back(world: World) -> None:
    assert migrate(world, "--fast-retries").returncode == 0
    try:
        assert policy(world) == FAST_POLICY
        version = world.admin.get("retry-policies/default")["version"]
        assert migrate(world, "--fast-retries").returncode == 0
        assert world.admin.get("retry-policies/default")["version"] == version

        plan = world.admin.post(
            "plans",
            code=f"plain-{uuid4().hex[:8]}",
            name="Plain",
            amount_cents=2900,
            currency_code="usd",
            interval="month",
        )
        subscribed = Subscribed(world, plan)
        subscribed.add_card("ok", "insufficient_funds", "ok")
        subscribed.subscribe()
        subscribed.wait_status("active")
        subscribed.recover()
    finally:
        assert migrate(world).returncode == 0
    assert policy(world) == RetryPolicy()


def test_a_policy_in_seconds_is_refused_with_stripe_itself(world: World) -> None:
    done = migrate(world, "--fast-retries", STRIPE__API_BASE=STRIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --fast-retries needs the Stripe sandbox: STRIPE__API_BASE\n"
