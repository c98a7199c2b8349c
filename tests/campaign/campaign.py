"""Plays lifecycles side by side, and counts what they covered."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from tests.campaign.life import Cell, Life, Patience, Plans, StoryError
from tests.campaign.outside import Json, Outside, OutsideError, good
from tests.campaign.stories import POLICIES, STORIES, Order

SCHEDULE: Json = {"schedules": {"default": ["4s", "4s"]}, "grace": "7d"}


async def make_plans(outside: Outside) -> Plans:
    """Make a plan for each policy."""
    plans = Plans()
    for name, (changes, policy) in POLICIES.items():
        code = f"campaign-{uuid4().hex[:8]}"
        body = SCHEDULE | changes
        good(await outside.admin.once("PUT", f"retry-policies/{code}", json=body))
        plan = {
            "code": code,
            "name": "Campaign",
            "amount_cents": 2_900,
            "currency_code": "usd",
            "interval": "month",
            "retry_policy": code,
        }
        made = good(await outside.admin.once("POST", "plans", json=plan))
        plans.ids[name], plans.policies[name] = made["plan_id"], policy
    return plans


async def play(life: Life, order: Order) -> list[str]:
    """Play one lifecycle, and return what is wrong at its end."""
    try:
        await STORIES[order.story](life, order)
    except (StoryError, OutsideError) as error:
        life.problems.append(f"the story stops: {error}")
    return await life.finish()


__all__ = ["Cell", "Life", "Patience", "Sequence", "asyncio", "make_plans", "play"]
