"""Webhooks that are off, lost, tripled, shuffled and held: one reconciliation, and all is right."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.conftest import Measure
from tests.reconciliation.lifecycles import DAYS, Life, begin, write_story
from tests.reconciliation.shop import DAY_SECONDS, Shop

AT_ONCE = 6
OFF = {"off": True}
TROUBLED = {
    "drop": 0.3,
    "duplicate": 3,
    "shuffle": True,
    "hold_until_advanced_seconds": [DAY_SECONDS, 5 * DAY_SECONDS],
}
NONE: dict[str, Any] = {}
COHORTS: dict[str, dict[str, Any]] = {"undisturbed": NONE, "off": OFF, "troubled": TROUBLED}


async def at_once(jobs: list[Any]) -> list[Any]:
    """Await some jobs at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def run(job: Any) -> Any:
        async with slots:
            return await job

    return list(await asyncio.gather(*map(run, jobs)))


async def play(shop: Shop, seeds: list[str]) -> dict[str, list[Life]]:
    """Play the same stories side by side: undisturbed, without webhooks, with troubled ones."""
    plan = await shop.plan(interval="week")
    stories = [write_story(seed) for seed in seeds]
    lives = {
        name: await at_once([begin(shop, plan, story) for story in stories]) for name in COHORTS
    }
    everybody = [life for cohort in lives.values() for life in cohort]
    await shop.told([life.person for life in everybody])
    for name in ("off", "troubled"):
        for life in lives[name]:
            await shop.stripe.webhooks_of(life.person.email, **COHORTS[name])
    undisturbed = [life.person for life in lives["undisturbed"]]
    for day in range(1, DAYS + 1):
        await shop.stripe.advance(1)
        await shop.told(undisturbed)
        await shop.quiet()
        await at_once([life.do(day) for life in everybody])
    await shop.told(undisturbed)
    await shop.quiet()
    return lives


async def check(shop: Shop, seeds: list[str], measure: Measure) -> None:
    lives = await play(shop, seeds)
    behind = [life for life in lives["off"] if await life.differences()]
    assert behind, "without webhooks nothing was missed"
    report = await shop.reconcile()
    wanted = await at_once([life.end() for life in lives["undisturbed"]])
    for name, cohort in lives.items():
        for life, seed, end in zip(cohort, seeds, wanted, strict=True):
            assert await life.differences() == {}, f"{name}, {seed}: {life.story}"
            if not life.story.is_timed or name == "undisturbed":
                assert await life.end() == end, f"{name}, {seed}: {life.story}"
    statuses = Counter(end["subscription_status"] for end in wanted)
    timed_count = sum(life.story.is_timed for life in lives["undisturbed"])
    measure(
        f"{len(seeds)} lives each without webhooks, and with 30 % lost, tripled, shuffled, held "
        f"1-5 days: all are as at Stripe after one reconciliation, all but {timed_count} end as "
        f"undisturbed (these by when a debt is charged); {len(behind)} were behind; "
        f"ends {dict(statuses)}; counts {report['counts']}"
    )


async def test_twenty_lifecycles_end_as_undisturbed(shop: Shop, measure: Measure) -> None:
    await check(shop, [f"sample-{number}" for number in range(20)], measure)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(25))
async def test_five_hundred_lifecycles_end_as_undisturbed(
    shop: Shop, part: int, measure: Measure
) -> None:
    await check(shop, [f"soak-{part}-{number}" for number in range(20)], measure)
