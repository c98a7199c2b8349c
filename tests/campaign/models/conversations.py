"""Conversations of random turns, tools, cancels and kills, with a strict server's rules on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.campaign.models.evidence import Evidence, Json, has_text
from tests.campaign.models.invariants import broken
from tests.campaign.models.life import Talk
from tests.campaign.models.plan import Meanwhile, Spec, Step
from tests.campaign.models.stand import Stand
from tests.campaign.outside import OutsideError

_GIVE_UP_SECONDS = 600
MANY_TURNS = (3, 5)
FEW_TURNS = (1, 3)
_SLOW_TOKEN_SECONDS = 0.15
_TROUBLES = (OutsideError, httpx.HTTPError, KeyError, TimeoutError, psycopg.Error)


@dataclass
class Accepted:
    """What conversations came to.

    Args:
        turns: What was played, one list a conversation.
        request_count: How many requests were held against the rules.
        found: What was wrong, in words, with the conversation's seed.
    """

    turns: list[list[str]] = field(default_factory=list)
    request_count: int = 0
    found: list[str] = field(default_factory=list)

    @property
    def last_line(self) -> str:
        """What they came to, in one line."""
        count = len(self.turns)
        return f"{count} conversations, {self.request_count} requests, {len(self.found)} violated"


class Conversation:
    """One conversation; its seed decides its turns.

    Args:
        talk: With whom.
        seed: Of its turns.
        is_long: Whether it has many turns, and the worker may be killed in it.
    """

    def __init__(self, talk: Talk, seed: str, *, is_long: bool) -> None:
        self._talk = talk
        self._dice = random.Random(seed)  # noqa: S311 - no secrets
        self._payment: Json | None = None
        self._is_long = is_long
        self.turns: list[str] = []

    async def play(self) -> None:
        """Play all turns, one after the other, and read what they left behind."""
        kinds = self._kinds()
        for number in range(self._dice.randint(*(MANY_TURNS if self._is_long else FEW_TURNS))):
            # Reason: what is left open or canceled is worth most if something follows it.
            kind = self._dice.choice(kinds) if number else self._dice.choice(kinds[:-1])
            self.turns.append(kind.__name__.removeprefix("_"))
            await kind()
        await self._plain()
        await self._over()
        await self._talk.read()

    async def _over(self) -> None:
        """Wait until all runs are over; what waits for a person gets a no.

        After a canceled run its question stands beside the next one, and may be answered, too.
        """
        talk = self._talk
        for run in talk.seen.runs:
            await talk.wait_status(run, "waiting_approval")
            if not await talk.stand.has_ended(run.agent_run_id):
                await talk.decide(run, "reject")
                await talk.wait_status(run)

    def _kinds(self) -> list[Callable[[], Awaitable[None]]]:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._plain, self._tool, self._canceled, self._message, self._two_at_once,
            self._canceled_tool, self._refund_approved, self._refund_rejected,
            self._refund_canceled, self._message_while_waiting,
        ]  # fmt: skip
        return [*kinds, self._killed] if self._is_long else kinds

    async def _plain(self) -> None:
        await self._talk.begin(f"Where is the {self._talk.tag()} train?")
        await self._over()

    async def _tool(self) -> None:
        await self._talk.begin(f"Please search for the {self._talk.tag()} train.")
        await self._over()

    async def _slow(self, text: str) -> None:
        talk = self._talk
        item = {"match": talk.tag(), "token_seconds": _SLOW_TOKEN_SECONDS}
        await talk.stand.script(item)
        run = await talk.begin(text)
        await talk.wait_asking(run, 0)
        await asyncio.sleep(self._dice.uniform(0.0, 0.8))

    async def _canceled(self) -> None:
        await self._slow(f"Where is the {self._talk.tag()} tram?")
        await self._talk.cancel(self._talk.seen.runs[-1])
        await self._over()

    async def _canceled_tool(self) -> None:
        run = await self._talk.begin(f"Please search for the {self._talk.tag()} tram.")
        await self._talk.wait_asking(run, 0)
        await asyncio.sleep(self._dice.uniform(0.0, 0.5))
        await self._talk.cancel(run)
        await self._over()

    async def _message(self) -> None:
        await self._slow(f"Where is the {self._talk.tag()} ferry?")
        for _ in range(self._dice.randint(1, 2)):
            await self._talk.say(self._talk.seen.runs[-1])
        await self._over()

    async def _two_at_once(self) -> None:
        await self._slow(f"Where is the {self._talk.tag()} bus?")
        await self._talk.begin(f"And where is the {self._talk.tag()} taxi?")
        await self._over()

    async def _killed(self) -> None:
        await self._slow(f"Where is the {self._talk.tag()} boat?")
        await self._talk.stand.kill_worker()
        await self._over()

    async def _asked_to_refund(self) -> bool:
        """Ask for a refund that waits for a person; once in a conversation."""
        talk = self._talk
        if self._payment is not None:
            await self._tool()
            return False
        self._payment = await talk.stand.pay(talk.customer)
        text = (
            f"Please refund payment {self._payment['payment_id']}, the {talk.tag()} bus was late."
        )
        run = await talk.begin(text, payment_intent=self._payment["stripe_payment_intent_id"])
        await talk.wait_status(run, "waiting_approval")
        return True

    async def _refund_approved(self) -> None:
        if await self._asked_to_refund():
            await self._talk.decide(self._talk.seen.runs[-1], "approve")
            await self._over()

    async def _refund_rejected(self) -> None:
        if await self._asked_to_refund():
            await self._talk.decide(self._talk.seen.runs[-1], "reject")
            await self._over()

    async def _refund_canceled(self) -> None:
        if await self._asked_to_refund():
            await self._talk.cancel(self._talk.seen.runs[-1])
            await self._over()

    async def _message_while_waiting(self) -> None:
        if await self._asked_to_refund():
            await self._talk.say(self._talk.seen.runs[-1])
            await self._talk.decide(self._talk.seen.runs[-1], "approve")
            await self._over()


async def converse(stand: Stand, seed: int, count: int, at_once: int, *, is_long: bool) -> Accepted:
    """Play conversations side by side, and hold every request of theirs against strict rules.

    Args:
        stand: Where.
        seed: Of all their turns.
        count: How many.
        at_once: How many side by side.
        is_long: Whether they have many turns, and the worker may be killed.
    """
    accepted, free = Accepted(), asyncio.Semaphore(at_once)
    pairs = []
    for number in range(count):
        name = f"{seed}-{number}"
        spec = Spec(stand.provider, "strict", Step.FIRST, Meanwhile.NOTHING, name)
        talk = Talk(stand, stand.customers[number % len(stand.customers)], Evidence(spec))
        pairs.append((talk, Conversation(talk, name, is_long=is_long)))

    async def one(talk: Talk, conversation: Conversation) -> None:
        async with free:
            try:
                async with asyncio.timeout(_GIVE_UP_SECONDS):
                    await conversation.play()
            except _TROUBLES as error:
                talk.seen.problems.append(f"it stops: {type(error).__name__} {error}")

    await stand.be_strict(is_on=True)
    try:
        await asyncio.gather(*(one(*pair) for pair in pairs))
    finally:
        await stand.be_strict(is_on=False)
    calls, refunds = await stand.log(), await stand.refunds()
    for talk, conversation in pairs:
        accepted.turns.append(conversation.turns)
        talk.seen.calls = [c for c in calls if has_text(c["body"], talk.mark)]
        intents = {run.payment_intent for run in talk.seen.runs}
        talk.seen.refunds = [row for row in refunds if row["payment_intent"] in intents]
        accepted.request_count += len(talk.seen.calls)
        for found in (*refused(talk.seen), *broken(talk.seen)):
            accepted.found.append(f"{talk.seen.spec.seed} {conversation.turns}: {found}")
    return accepted


def refused(seen: Evidence) -> list[str]:
    """Return the requests that the strict server has refused, with its words."""
    return [
        f"request {call['seq']} is refused: {call['refusal']}"
        for call in seen.calls
        if call["refusal"] is not None
    ]
