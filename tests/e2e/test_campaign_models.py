"""A seeded sample of the models' campaign, and conversations under a strict server's rules."""

from collections.abc import AsyncIterator

import pytest

from tests.campaign.models.campaign import Campaign, Outcome
from tests.campaign.models.conversations import converse
from tests.campaign.models.oddities import OPENAI
from tests.campaign.models.plan import Meanwhile, Spec, Step
from tests.campaign.models.stand import Stand
from tests.conftest import Measure
from tests.e2e.running import RunningStack

SEED = 11
LIFE_COUNT = 9
CONVERSATION_COUNT = 100
SAMPLE_COUNT = 6
AT_ONCE = 10

# One for each kind of fault that was mended, and one for each way to meddle.
LIVES = [
    Spec(OPENAI, behaviour, Step(step), Meanwhile(meanwhile), f"{SEED}-{number}")
    for number, (behaviour, step, meanwhile) in enumerate(
        [
            ("slow", "first", "message"),
            ("slow", "first", "interrupt"),
            ("slow_reasoning", "tool", "cancel"),
            ("no_finish", "first", "nothing"),
            ("cut_call", "first", "nothing"),
            ("empty_after_tool", "second", "nothing"),
            ("refused", "approval", "reject"),
            ("call_as_text", "first", "nothing"),
            ("cached_prompt", "second", "second_run"),
        ]
    )
]


@pytest.fixture
async def stand(stack: RunningStack) -> AsyncIterator[Stand]:
    found = Stand(OPENAI, lambda: stack.facts)
    await found.prepare(LIFE_COUNT + 1)
    yield found
    await found.close()


@pytest.mark.timeout(600)
async def test_a_sample_of_the_models_campaign(stand: Stand, measure: Measure) -> None:
    outcome, told = Outcome(), list[str]()
    await Campaign(stand, outcome, told.append).wave(LIVES)
    measure(f"sample of the models' campaign: {outcome.life_count} lives, {outcome.last_line}")
    assert not told, "\n".join(told)
    assert outcome.life_count == LIFE_COUNT
    assert len(outcome.covered) >= LIFE_COUNT - 2, outcome.missed


@pytest.mark.timeout(600)
async def test_strict_servers_accept_some_conversations(stand: Stand, measure: Measure) -> None:
    accepted = await converse(stand, SEED, SAMPLE_COUNT, SAMPLE_COUNT, is_long=False)
    measure(f"strict conversations, seed {SEED}: {accepted.last_line}")
    assert not accepted.found, "\n".join(accepted.found)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_strict_servers_accept_all_conversations(stand: Stand, measure: Measure) -> None:
    accepted = await converse(stand, SEED, CONVERSATION_COUNT, AT_ONCE, is_long=True)
    measure(f"strict conversations, seed {SEED}: {accepted.last_line}")
    assert not accepted.found, "\n".join(accepted.found)
