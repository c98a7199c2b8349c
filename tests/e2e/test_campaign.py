"""A seeded sample of the campaign: lifecycles among all that Stripe can answer, side by side."""

import time
from itertools import islice

import pytest

from tests.campaign.campaign import Campaign, Outcome, make_plans
from tests.campaign.life import Patience
from tests.campaign.outside import Outside
from tests.campaign.plan import Planner, Reached
from tests.conftest import Measure
from tests.e2e.running import RunningStack

SEED = 11
LIFE_COUNT = 6
# Reason: these only end hangs; a life needs a few seconds, and the campaign itself is stricter.
PATIENCE = Patience(trouble=8, calm=45, cancel=45)
LONGEST_SECONDS = 100


@pytest.mark.timeout(600)
async def test_a_sample_of_the_campaign(stack: RunningStack, measure: Measure) -> None:
    outside, told = Outside(stack.facts), list[str]()
    try:
        plans = await make_plans(outside)
        played = Campaign(outside, plans, patience=PATIENCE, tell=told.append)
        specs = islice(Planner(SEED, set(), Reached()).specs(), LIFE_COUNT)
        await played.play(specs, LIFE_COUNT, time.monotonic() + LONGEST_SECONDS)
        await played.end()
    finally:
        await outside.close()
    measure(_figure(played.outcome))
    assert not told, "\n".join(told)
    assert played.outcome.life_count == LIFE_COUNT
    assert played.outcome.covered


def _figure(outcome: Outcome) -> str:
    return f"sample of the campaign, seed {SEED}: {outcome.life_count} lives, {outcome.last_line}"
