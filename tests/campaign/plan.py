"""What is played: lifecycles drawn by a seed, towards what is not covered yet."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.campaign import people
from tests.campaign.answers import ANSWERS, BY_NAME
from tests.campaign.calls import Call
from tests.campaign.coverage import Covered
from tests.campaign.life import Cell
from tests.campaign.phases import Phase
from tests.campaign.stories import POLICIES, SOFT, STORIES, WEBHOOKS, Order

DECLINES = (
    "approve_with_id", "authentication_required", "call_issuer", "card_not_supported",
    "card_velocity_exceeded", "currency_not_supported", "do_not_honor", "do_not_try_again",
    "duplicate_transaction", "expired_card", "fraudulent", "generic_decline", "incorrect_cvc",
    "incorrect_number", "incorrect_zip", "insufficient_funds", "invalid_account", "invalid_amount",
    "issuer_not_available", "lost_card", "merchant_blacklist",
    "new_account_information_available", "no_action_taken", "not_permitted", "pickup_card",
    "processing_error", "reenter_transaction", "restricted_card",
    "revocation_of_all_authorizations", "revocation_of_authorization", "security_violation",
    "service_not_allowed", "stolen_card", "stop_payment_order", "test_mode_live_card",
    "testmode_decline", "transaction_not_allowed", "try_again_later",
    "withdrawal_count_limit_exceeded",
)  # fmt: skip
_BASE = (
    "recover",
    "last_resort",
    "older_debt",
    "lost_card",
    "challenge",
    "hasty",
    "payments",
    "cards",
    "second_thoughts",
    "changes",
    "trial",
    "checkout",
)
_PHASES = {
    "recover": (
        Phase.START, Phase.ACTIVE, Phase.PAST_DUE, Phase.WAIT_1, Phase.WAIT_2, Phase.RECOVERED,
        Phase.REFUND, Phase.CANCEL,
    ),
    "last_resort": (
        Phase.START, Phase.PAST_DUE, Phase.WAIT_1, Phase.WAIT_2, Phase.LAST_RESORT,
    ),
    "older_debt": (Phase.ACTIVE, Phase.PAST_DUE, Phase.WAIT_1, Phase.RECOVERED, Phase.CANCEL),
    "lost_card": (Phase.PAST_DUE, Phase.ASKED, Phase.RECOVERED, Phase.CANCEL),
    "challenge": (Phase.PAST_DUE, Phase.ASKED, Phase.CANCEL),
    "declined_start": (Phase.START, Phase.ACTIVE),
    "hasty": (Phase.START,),
    "payments": (Phase.START, Phase.ACTIVE, Phase.CANCEL, Phase.REFUND),
    "cards": (Phase.START, Phase.ACTIVE, Phase.PAST_DUE, Phase.CANCEL),
    "second_thoughts": (Phase.START, Phase.ACTIVE, Phase.PAUSED, Phase.CANCEL),
    "changes": (Phase.CHANGED, Phase.CHANGED, Phase.RENEWED, Phase.CANCEL),
    "trial": (Phase.START, Phase.CHANGED, Phase.RENEWED, Phase.CANCEL),
    "checkout": (Phase.START, Phase.CHANGED, Phase.ACTIVE, Phase.CANCEL),
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """All that decides a lifecycle."""

    order: Order
    cells: tuple[Cell, ...]
    seed: str

    def dumped(self) -> str:
        """Return it as a line of JSON, to play it again."""
        order = self.order
        parts = {
            "story": order.story,
            "policy": order.policy,
            "decline": order.decline,
            "meanwhile": list(order.meanwhile),
            "webhooks": order.webhooks,
            "cells": [[c.phase, c.answer, c.call, c.nth] for c in self.cells],
            "seed": self.seed,
        }
        return json.dumps(parts)

    @classmethod
    def loaded(cls, text: str) -> "Spec":
        """Read what `dumped` wrote."""
        parts = json.loads(text)
        name, phase = parts["meanwhile"]
        order = Order(
            parts["story"], parts["policy"], parts["decline"], (name, Phase(phase)),
            parts["webhooks"],
        )  # fmt: skip
        cells = [
            Cell(Phase(phase), answer, Call(call) if call else None, nth)
            for phase, answer, call, nth in parts["cells"]
        ]
        return cls(order, tuple(cells), parts["seed"])


@dataclass
class Reached:
    """Which calls were seen in which phase of which way to live."""

    calls: dict[tuple[str, Phase], set[Call]] = field(default_factory=lambda: defaultdict(set))

    def add(self, way: str, found: Iterable[tuple[Phase, Call]]) -> None:
        """Learn from a lifecycle."""
        for phase, call in found:
            self.calls[way, phase].add(call)


class Planner:
    """Draws lifecycles."""

    def __init__(self, seed: int, covered: Covered, reached: Reached) -> None:
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - no secrets
        self._covered = covered
        self._reached = reached
        self._planned: Counter[Cell] = Counter()

    def first(self) -> Iterator[Spec]:
        """Yield each story once without any trouble."""
        for number, story in enumerate([*_BASE, "declined_start"]):
            decline = "generic_decline" if story == "declined_start" else SOFT
            yield Spec(Order(story, decline=decline), (), f"{self._seed}-first-{number}")
        for policy in list(POLICIES)[1:]:
            yield Spec(Order("last_resort", policy), (), f"{self._seed}-{policy}")

    def specs(self) -> Iterator[Spec]:
        """Yield lifecycles for ever."""
        orders = self._orders()
        for number in count():
            order, most = next(orders)
            cells = self._cells(order, self._dice.randint(1, most) if most else 0)
            yield Spec(order, cells, f"{self._seed}-{number}")

    def _orders(self) -> Iterator[tuple[Order, int]]:
        """Yield orders, and how many faults each can take so that one can still tell them apart."""
        plain, codes = self._plain(), self._codes()
        meanwhile, hooks = self._meanwhile(), self._hooks()
        while True:
            for source, most in (
                (plain, 8), (codes, 3), (plain, 8), (meanwhile, 2), (plain, 8), (codes, 3),
                (plain, 8), (hooks, 3),
            ):  # fmt: skip
                yield next(source), most

    def _shuffled(self, orders: list[Order]) -> Iterator[Order]:
        while True:
            yield from self._dice.sample(orders, len(orders))

    def _plain(self) -> Iterator[Order]:
        several = [Order(story) for story in _BASE]
        several += [Order("last_resort", policy) for policy in POLICIES]
        return self._shuffled([*several, Order("recover"), Order("recover"), Order("lost_card")])

    def _codes(self) -> Iterator[Order]:
        stories = ("recover", "last_resort", "lost_card", "declined_start", "payments")
        return self._shuffled([Order(s, decline=code) for s in stories for code in DECLINES])

    def _meanwhile(self) -> Iterator[Order]:
        late = (Phase.PAST_DUE, Phase.WAIT_1, Phase.WAIT_2)
        orders = [
            Order("recover", meanwhile=(name, phase))
            for name in people.WHILE_PAST_DUE
            for phase in late
        ]
        orders += [Order("recover", meanwhile=(n, Phase.ACTIVE)) for n in people.WHILE_ACTIVE]
        orders += [
            Order("second_thoughts", meanwhile=(n, Phase.PAUSED)) for n in people.WHILE_ACTIVE
        ]
        orders += [Order("changes", meanwhile=(n, Phase.CHANGED)) for n in people.WHILE_ACTIVE]
        orders += [Order("last_resort", meanwhile=("pay_hosted", Phase.LAST_RESORT))]
        orders += [Order("challenge", meanwhile=(n, Phase.ASKED)) for n in people.WHILE_PAST_DUE]
        return self._shuffled(orders)

    def _hooks(self) -> Iterator[Order]:
        names = [name for name in WEBHOOKS if name != "prompt"]
        stories = (
            "recover", "last_resort", "older_debt", "lost_card", "payments", "cards", "changes",
            "trial", "checkout",
        )  # fmt: skip
        return self._shuffled([Order(s, webhooks=n) for s in stories for n in names])

    def _cells(self, order: Order, number: int) -> tuple[Cell, ...]:
        """Draw answers to calls that this story makes, those first that nobody has had."""
        chosen: list[Cell] = []
        for phase in self._dice.choices(_PHASES[order.story], k=number):
            cell = self._cell(order.way, phase)
            # Reason: of two faults of one call in one phase the second one rarely has its turn.
            taken = {(each.phase, each.call) for each in chosen}
            if cell is not None and (cell.phase, cell.call) not in taken:
                chosen.append(cell)
                self._planned[cell] += 1
        return tuple(sorted(chosen, key=lambda cell: list(Phase).index(cell.phase)))

    def _cell(self, way: str, phase: Phase) -> Cell | None:
        calls = sorted(self._reached.calls[way, phase])
        if not calls:
            answer = self._dice.choice([a for a in ANSWERS if not a.is_slow])
            return Cell(phase, answer.name, None, self._dice.randrange(4))
        fresh = [
            cell
            for call in calls
            for answer in ANSWERS
            if answer.suits(call.method)
            for cell in [Cell(phase, answer.name, call)]
            if (call, answer.name, phase) not in self._covered
        ]
        least = min((self._planned[cell] for cell in fresh), default=0)
        fresh = [cell for cell in fresh if self._planned[cell] == least]
        quick = [cell for cell in fresh if not BY_NAME[cell.answer].is_slow]
        if fresh and (not quick or self._dice.random() < 0.06):
            return self._dice.choice(fresh)
        return self._dice.choice(quick) if quick else None


def all_stories() -> list[str]:
    """Return the names of all stories."""
    return list(STORIES)
