"""One lifecycle: a user, a clock of their own, a subscription, and all that is done to it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.campaign.answers import BY_NAME
from tests.campaign.calls import Call
from tests.campaign.evidence import Evidence, Policy, Told, Word
from tests.campaign.invariants import ALWAYS, ENDED, ONCE_QUIET, broken
from tests.campaign.outside import Caller, Json, Outside, OutsideError, until
from tests.campaign.phases import Phase

_IDLE = (Phase.ACTIVE, Phase.RECOVERED, Phase.REFUND)
"""Phases in which nobody may have a reason to call Stripe."""
_DWELL_SECONDS = 5
HOUR, DAY = 3_600, 86_400
PRODUCT = "Stripe/"
"""What is in the User-Agent of the product's calls, and in nobody else's."""


@dataclass(frozen=True, order=True)
class Cell:
    """An answer to a call in a phase; without a call, to the `nth` one of the phase."""

    phase: Phase
    answer: str
    call: Call | None = None
    nth: int = 0

    def fault(self, times: int) -> Json:
        """Return what the stand-in is told."""
        method = "*" if BY_NAME[self.answer].suits("GET") else "POST"
        match = {"match": self.call.value if self.call else f"{method} /v1/*"}
        name = {"label": f"{self.answer}@{self.phase}", "user_agent": PRODUCT}
        return match | name | {"times": times, "skip": self.nth} | BY_NAME[self.answer].fault


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds.

    Attributes:
        trouble: For a step while faults are in force.
        calm: For a step once they are cleared.
        cancel: For the answer to a cancel once they are cleared.
    """

    trouble: float = 15
    calm: float = 75
    cancel: float = 20


@dataclass
class Plans:
    """What can be subscribed to: plan ids by the name of their policy, and what that says.

    Attributes:
        ids: Plans by the name of their policy.
        policies: What the retries go by.
        larger_id: A plan that costs more.
        trial_id: A plan with a trial.
    """

    ids: dict[str, str] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    larger_id: str = ""
    trial_id: str = ""


class StoryError(Exception):
    """A story could not go on."""


@dataclass
class Life:
    """A lifecycle under way."""

    outside: Outside
    plans: Plans
    policy: str
    cells: Sequence[Cell]
    seed: str
    patience: Patience
    webhooks: Json = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    problems: list[str] = field(default_factory=list)
    caller: Caller = field(init=False)
    clock: str = ""
    customer: str = ""
    clock_now: int = 0
    subscription_id: str = ""
    phase: Phase = Phase.START
    is_calm: bool = False

    def __post_init__(self) -> None:
        self.email = f"life-{uuid4().hex[:16]}@example.com"
        self.dice = random.Random(self.seed)  # noqa: S311 - no secrets

    # -- steps ---------------------------------------------------------------------------------

    async def sign_up(self) -> None:
        """Begin: faults first, then the clock, then the account."""
        await self.enter(Phase.START)
        made = await self.outside.sandbox.control("POST", "test-clocks", customer_email=self.email)
        self.clock, self.clock_now = made["id"], made["frozen_time"]
        self.caller = await self.outside.customer(self.email)

    async def enter(self, phase: Phase) -> None:
        """Begin a phase, with the faults that belong to it, once the last one's had their time."""
        await self._dwell()
        self.phase = phase
        faults = []
        for cell in self.cells:
            if cell.phase is phase:
                most = BY_NAME[cell.answer].times
                faults.append(cell.fault(self.dice.randint(1, most)))
        self.is_calm = not faults and not self.webhooks
        await self.outside.sandbox.control(
            "PUT", f"faults/{self.email}",
            customer_email=self.email, api=faults, webhooks=self.webhooks,
        )  # fmt: skip
        self.told.marks.append((time.time(), phase))

    async def _dwell(self) -> None:
        """Give the faults of a phase time to meet a call, and the product a reason to call."""
        labels = {f"{cell.answer}@{cell.phase}" for cell in self.cells if cell.phase is self.phase}
        if not labels or not self.told.marks or self.is_calm:
            return
        found = await self.stripe_subscription() if self.phase in _IDLE else None
        if found:
            path = f"/subscriptions/{found['id']}"
            await self.outside.stripe.call("POST", path, metadata={"note": self.phase.value})

        async def are_met() -> bool:
            rows = await self.outside.sandbox.log(customer_email=self.email)
            return labels <= {row["fault"] for row in rows}

        with suppress(OutsideError):
            await until("the faults", are_met, _DWELL_SECONDS)

    async def calm(self) -> None:
        """Clear the faults."""
        await self.outside.sandbox.control("DELETE", f"faults/{self.email}")
        self.is_calm = True

    async def reach(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for a step: with the faults for a while, then without them.

        Raises:
            StoryError: If it does not come.
        """
        if not self.is_calm:
            with suppress(OutsideError):
                return await until(what, look, self.patience.trouble)
            await self.calm()
        try:
            return await until(what, look, self.patience.calm / 3)
        except OutsideError:
            await self.unpark()
        try:
            return await until(what, look, self.patience.calm)
        except OutsideError as error:
            raise StoryError(f"{error}, in phase {self.phase}") from error

    async def unpark(self) -> None:
        """Do again what is parked, as an administrator."""
        for view in await self.caller.items("subscriptions"):
            if view.get("is_parked") or view.get("parked_reason"):
                path = f"subscriptions/{view['subscription_id']}/retry-parked"
                with suppress(httpx.TransportError):
                    await self.outside.admin.once("POST", path, json={})
        for retry in await self.caller.items("payment-retries"):
            if retry.get("is_parked"):
                path = f"payment-retries/{retry['payment_retry_id']}/retry-parked"
                with suppress(httpx.TransportError):
                    await self.outside.admin.once("POST", path, json={})

    async def command(self, name: str, path: str, target: str = "", **body: Any) -> Json | None:
        """Give a command, under one key, until it is answered; return the answer if it is good."""
        key, asked_at = uuid4().hex, time.time()
        reply = await self.caller.send(path, body, 1 if self.is_calm else 6, key)
        seconds = self.patience.cancel if name.startswith("cancel") else self.patience.calm
        if reply is None:
            await self.calm()
            cleared_at = time.time()
            reply = await self.caller.send(path, body, seconds, key)
            if reply is None:
                self.told.words.append(Word(name, cleared_at, time.time(), None, target))
                return None
        word = Word(name, asked_at, time.time(), reply.status_code, target)
        self.told.words.append(word)
        return dict(reply.json()) if reply.is_success else None

    async def admin_command(self, name: str, path: str, target: str, **body: Any) -> None:
        """Give a command as an administrator."""
        mine, self.caller = self.caller, self.outside.admin
        try:
            await self.command(name, path, target, **body)
        finally:
            self.caller = mine

    async def remove_card(self, payment_method_id: str) -> None:
        """Remove a card."""

        async def look() -> bool:
            reply = await self.caller.once("DELETE", f"payment-methods/{payment_method_id}")
            return reply.status_code in {204, 404}

        await self.reach("the card's removal", look)

    async def reach_payment(self, payment_id: str) -> None:
        """Wait until a payment has its outcome."""

        async def look() -> bool:
            seen = await self.caller.get(f"payments/{payment_id}")
            return bool(seen["payment_status"] != "pending")

        await self.reach("a payment's outcome", look)

    async def give_card(self, *script: str, is_default: bool = True) -> str:
        """Attach a card, again under another key if it was refused."""
        card = await self.outside.sandbox.card(*script)
        for _ in range(4):
            body: Json = {"stripe_payment_method_id": card, "is_default": is_default}
            # Reason: it may be charged before its attaching is answered.
            given_at = time.time()
            made = await self.command("give card", "payment-methods", **body)
            if made:
                self.told.cards.append((given_at, card))
                return str(made["payment_method_id"])
            await self.calm()
        said = [word.status for word in self.told.words if word.name == "give card"]
        raise StoryError(f"a card is not taken: {said}")

    async def subscribe(self, plan_id: str = "") -> None:
        """Start the subscription."""
        body = {"plan_id": plan_id or self.plans.ids[self.policy]}
        await self.order("subscribe", "subscriptions", **body)

    async def order(self, name: str, path: str, **body: Any) -> Json:
        """Order the subscription, again under another key if it was refused."""
        for _ in range(4):
            made = await self.command(name, path, **body)
            if made:
                self.subscription_id = made["subscription_id"]
                return made
            await self.calm()
        said = [word.status for word in self.told.words if word.name == name]
        raise StoryError(f"no subscription is made: {said}")

    async def view(self) -> Json:
        """Return the subscription as the product shows it."""
        return await self.caller.get(f"subscriptions/{self.subscription_id}")

    async def reach_status(self, *statuses: str) -> Json:
        """Wait until the subscription is shown with one of these statuses."""

        async def look() -> Json | None:
            seen = await self.view()
            return seen if seen["subscription_status"] in statuses else None

        found: Json = await self.reach(f"{' or '.join(statuses)}", look)
        return found

    async def reach_retry(self, *statuses: str) -> Json:
        """Wait until the newest payment retry has one of these statuses."""

        async def look() -> Json | None:
            rows = await self.caller.items("payment-retries")
            return rows[0] if rows and rows[0]["retry_status"] in statuses else None

        found: Json = await self.reach(f"a retry that is {' or '.join(statuses)}", look)
        return found

    async def pass_time(self, seconds: int) -> None:
        """Move this customer's clock, and wait until all is done that was due."""
        self.clock_now += seconds
        path = f"/test_helpers/test_clocks/{self.clock}"
        await self.outside.stripe.post(f"{path}/advance", frozen_time=self.clock_now)

        async def is_there() -> bool:
            return bool((await self.outside.stripe.get(path))["status"] == "ready")

        await until("the test clock", is_there, 120)

    async def charges(self, outcome: str = "failed") -> list[Json]:
        """Return the charges of the subscription, oldest first."""
        if not self.customer:
            found = await self.stripe_subscription()
            self.customer = str(found["customer"]) if found else ""
        rows = await self.outside.sandbox.ledger(self.customer) if self.customer else []
        return [r for r in rows if r["kind"] == "charge" and r["outcome"] == outcome]

    async def stripe_subscription(self) -> Json | None:
        """Return the newest subscription at Stripe."""
        for customer in await self.customer_ids():
            listed = await self.outside.stripe.call(
                "GET", "/subscriptions", customer=customer, status="all"
            )
            rows = listed.json().get("data") or []
            if rows:
                return dict(rows[0])
        return None

    async def customer_ids(self) -> list[str]:
        """Return who this user is at Stripe, newest first."""
        rows = await self.outside.sandbox.log(customer_email=self.email)
        ids = [row["customer"] for row in rows if row["customer"]]
        return list(dict.fromkeys(reversed(ids)))

    async def invoice(self) -> Json:
        """Return the newest invoice at Stripe."""
        found = await self.stripe_subscription()
        if found is None:
            raise StoryError("no subscription at Stripe")
        path = "/invoices"
        rows: list[Json] = (await self.outside.stripe.get(path, subscription=found["id"]))["data"]
        return rows[0]

    async def cancel(self) -> None:
        """Cancel now."""
        path = f"subscriptions/{self.subscription_id}/cancel"
        await self.command("cancel", path, self.subscription_id, mode="now")

    # -- the end -------------------------------------------------------------------------------

    async def finish(self) -> list[str]:
        """Clear all faults, check, cancel what still lives, check again."""
        await self._dwell()
        await self.calm()
        found = await self.settled(is_over=False)
        if not found and self.subscription_id and await self._is_alive():
            await self.enter(Phase.CANCEL)
            await self.cancel()
            await self._dwell()
            await self.calm()
            found = await self.settled(is_over=True)
        return found

    async def _is_alive(self) -> bool:
        return (await self.view())["subscription_status"] not in ENDED

    async def settled(self, *, is_over: bool) -> list[str]:
        """Return what is wrong once the product has had its time."""
        deadline = time.monotonic() + self.patience.calm
        unpark_at = time.monotonic() + self.patience.calm / 3
        calm_count = 0
        while True:
            seen = await self.collect(is_over=is_over)
            late = broken(seen, ONCE_QUIET)
            found = broken(seen, ALWAYS) + late
            is_final = bool(found) and not late
            calm_count = 0 if found else calm_count + 1
            if calm_count >= 2 or is_final or time.monotonic() > deadline:
                return found
            if late and time.monotonic() > unpark_at:
                await self.unpark()
            await asyncio.sleep(1.5)

    async def collect(self, *, is_over: bool = False) -> Evidence:
        """Read everything that there is to know."""
        log = await self.outside.sandbox.log(customer_email=self.email)
        seen = Evidence(
            self.email, self.plans.policies[self.policy], self.told, log=log, is_over=is_over
        )
        await self._collect_views(seen)
        await self._collect_stripe(seen)
        seen.mails = await self.outside.mails(self.email)
        seen.pending_webhooks = await self.outside.sandbox.pending(self.email)
        seen.problems += self.problems
        seen.now = time.time()
        return seen

    async def _collect_stripe(self, seen: Evidence) -> None:
        ids = list(dict.fromkeys(row["customer"] for row in seen.log if row["customer"]))
        stripe = self.outside.stripe
        for customer in ids:
            seen.ledger += await self.outside.sandbox.ledger(customer)
            seen.customer = await stripe.get(f"/customers/{customer}")
            if seen.customer.get("deleted"):
                # Reason: no list shows what was a deleted customer's.
                for view in seen.views:
                    found = await stripe.call(
                        "GET", f"/subscriptions/{view['stripe_subscription_id']}"
                    )
                    seen.subscriptions += [found.json()] if found.is_success else []
                continue
            seen.subscriptions += await stripe.all(
                "/subscriptions", customer=customer, status="all"
            )
            seen.invoices += await stripe.all("/invoices", customer=customer)
            seen.intents += await stripe.all("/payment_intents", customer=customer)
            seen.charges += await stripe.all("/charges", customer=customer)
            seen.cards += await stripe.all("/payment_methods", customer=customer)

    async def _collect_views(self, seen: Evidence) -> None:
        seen.views = await self.caller.items("subscriptions")
        seen.payments = await self.caller.items("payments")
        seen.retries = await self.caller.items("payment-retries")
        seen.view_cards = await self.caller.items("payment-methods")
        seen.entitlements = await self.caller.get("entitlements")
        for view in seen.views:
            path = f"subscriptions/{view['subscription_id']}"
            seen.view_invoices += await self.caller.items(f"{path}/invoices")
            told = await self.caller.once("GET", f"{path}/explain")
            if not told.is_success:
                seen.problems.append(f"explain of {path} -> {told.status_code}")
        for row in (*seen.views, *seen.retries, *seen.payments):
            await self._collect_workflow(seen, row)

    async def _collect_workflow(self, seen: Evidence, row: Json) -> None:
        workflow_id = row.get("workflow_id")
        if not workflow_id:
            return
        reply = await self.outside.admin.once("GET", f"workflows/{workflow_id}")
        if reply.is_success:
            body = reply.json()
            seen.workflows[workflow_id] = str(body.get("workflow_status") or body.get("status"))
            taken = await self.outside.command_times(workflow_id)
            seen.command_times[workflow_id] = taken
