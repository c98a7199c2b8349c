"""One conversation with a model that behaves oddly once, and what people do meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx

from tests.campaign.models.evidence import Evidence, Json, RunSeen, Said
from tests.campaign.models.plan import Meanwhile, Spec, Step
from tests.campaign.models.stand import Customer, Stand
from tests.campaign.outside import OutsideError, good, until

FINE = "All is well."
_ANSWER_SECONDS = 60.0
_INTO_THE_ANSWER_SECONDS = 0.3
# Long enough for more words than the answer may have.
_INTO_AN_ENDLESS_ANSWER_SECONDS = 4.0
_MANY = 60
# A kill is made for several lives at once, and has to find all of them in mid-answer; what is asked
# after it is answered quickly.
_SLOWER_FOR_A_KILL = 6


class Talk:
    """A customer's conversation; what is done and answered is written down.

    Args:
        stand: Where.
        customer: Who.
        seen: What is written down.
    """

    def __init__(self, stand: Stand, customer: Customer, seen: Evidence) -> None:
        self.stand = stand
        self.customer = customer
        self.seen = seen
        self.mark = f"zz{uuid4().hex[:10]}"
        self._begun_at = time.time()
        self._conversation_id: str | None = None
        self._note_count = 0

    def tag(self) -> str:
        """Return a text that names the next run."""
        return f"{self.mark}{chr(ord('a') + len(self.seen.runs))}"

    async def begin(self, text: str, **facts: Any) -> RunSeen:
        """Begin a run in the conversation.

        Args:
            text: What is asked, with the run's tag in it.
            facts: What else is known of the run.
        """
        run = RunSeen(self.tag(), text, **facts)
        body: Json = {"agent": "research", "input": text}
        if self.seen.spec.oddity.is_batch:
            body["urgency"] = "batch"
        if self._conversation_id is not None:
            body["conversation_id"] = self._conversation_id
        reply = await self._post("agent-runs", body, {202})
        if reply is None:
            raise OutsideError("no run was begun")
        made = good(reply)
        run.agent_run_id, self._conversation_id = made["agent_run_id"], made["conversation_id"]
        self.seen.runs.append(run)
        return run

    async def say(self, run: RunSeen, *, is_interrupting: bool = False) -> None:
        """Say something to a run."""
        self._note_count += 1
        content = f"Note {self.mark}-{self._note_count}: bring a coat."
        sent_at = time.time()
        path = f"agent-runs/{run.agent_run_id}/messages"
        body = {"content": content} | ({"on_busy": "interrupt"} if is_interrupting else {})
        reply = await self._post(path, body, {200, 409})
        if reply is not None:
            status = reply.status_code
            said = Said(run.tag, content, sent_at, time.time(), status, is_interrupting)
            self.seen.said.append(said)

    async def cancel(self, run: RunSeen) -> None:
        """Cancel a run."""
        reply = await self._post(f"agent-runs/{run.agent_run_id}/cancel", {}, {200, 409})
        if reply is not None and reply.status_code == 200:
            run.canceled_at = time.time()

    async def decide(self, run: RunSeen, decision: str) -> None:
        """Let an administrator decide about the call that waits."""
        shown = await self.stand.outside.admin.get(f"agent-runs/{run.agent_run_id}")
        if not shown["pending_approvals"]:
            return
        call = shown["pending_approvals"][0]
        body = {"call_id": call["call_id"], "args_sha256": call["args_sha256"]}
        path = f"agent-runs/{run.agent_run_id}/approve"
        admin, sent = self.stand.outside.admin, body | {"decision": decision}
        reply = await admin.send(path, sent, _ANSWER_SECONDS)
        if reply is not None and reply.status_code == 200:
            run.decision = decision
        else:
            self.seen.problems.append(f"{decision} is answered by {_told(reply)}")

    async def wait_asking(self, run: RunSeen, step: int) -> bool:
        """Wait until a model is asked at a step; False if the run ends before."""

        async def look() -> str | None:
            if await self.stand.database.is_asking(run.agent_run_id, step):
                return "asking"
            return "over" if await self.stand.has_ended(run.agent_run_id) else None

        found: str | None = await self._until(f"step {step} of {run.tag}", look)
        return found == "asking"

    async def wait_status(self, run: RunSeen, *statuses: str) -> None:
        """Wait until a run has one of these statuses, or is over."""

        async def look() -> bool:
            status = await self.stand.status(run.agent_run_id)
            return status in statuses or await self.stand.has_ended(run.agent_run_id)

        await self._until(f"{run.tag} to be {statuses}", look)

    async def wait_ends(self) -> None:
        """Wait until all runs are over, but not for ever."""
        for run in self.seen.runs:
            await self.wait_status(run)

    async def read(self) -> None:
        """Read all that can be read of the runs, and end those that still live."""
        for run in self.seen.runs:
            run.shown = await self.customer.caller.get(f"agent-runs/{run.agent_run_id}")
            run.row = await self.stand.database.run(run.agent_run_id)
            run.usage = await self.stand.database.usage(run.agent_run_id)
            run.tool_calls = await self.stand.database.tool_calls(run.agent_run_id)
            if run.has_ended:
                run.events = await self.stand.events(self.customer, run.agent_run_id)
        end = time.time()
        kills = self.stand.kill_times
        self.seen.kill_count = sum(self._begun_at <= at <= end for at in kills)
        for run in self.seen.runs:
            if not run.has_ended:
                path = f"agent-runs/{run.agent_run_id}/cancel"
                await self.customer.caller.send(path, {}, _ANSWER_SECONDS)

    async def _until(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await until(what, look, self.stand.patience, pause=0.15)
        except OutsideError:
            # Reason: a run that does not end is told by how it is shown.
            return None

    async def _post(self, path: str, body: Json, allowed: set[int]) -> httpx.Response | None:
        reply = await self.customer.caller.send(path, body, _ANSWER_SECONDS)
        if reply is None or reply.status_code not in allowed:
            action = path.rpartition("/")[2]
            self.seen.problems.append(f"{action} is answered by {_told(reply)}")
            return None
        return reply


def _told(reply: httpx.Response | None) -> str:
    return "nothing" if reply is None else f"{reply.status_code} {reply.text[:200]}"


class Life:
    """One conversation as its spec says.

    Args:
        talk: The conversation.
        spec: What is played.
    """

    def __init__(self, talk: Talk, spec: Spec) -> None:
        self._talk = talk
        self._spec = spec

    async def play(self) -> None:
        """Play it to its end, and read what it left behind."""
        talk, spec = self._talk, self._spec
        struck_place = 1 if spec.step is Step.SECOND else 0
        payment = None
        if spec.step is Step.APPROVAL:
            payment = await talk.stand.pay(talk.customer)
        await talk.stand.script(*self._items(struck_place, payment))
        if struck_place:
            await talk.begin(f"Where is the {talk.tag()} train?")
            await talk.wait_ends()
        run = await self._begin(payment)
        if payment is not None:
            await self._decide(run)
        await self._meanwhile(run)
        await talk.wait_ends()
        await talk.read()

    async def _begin(self, payment: Json | None) -> RunSeen:
        tag = self._talk.tag()
        if payment is None:
            return await self._talk.begin(f"Where is the {tag} train?")
        text = f"Please refund payment {payment['payment_id']}, the {tag} train was late."
        intent = payment["stripe_payment_intent_id"]
        return await self._talk.begin(text, payment_intent=intent)

    async def _decide(self, run: RunSeen) -> None:
        talk, meanwhile = self._talk, self._spec.meanwhile
        await talk.wait_status(run, "waiting_approval")
        if meanwhile is Meanwhile.MESSAGE:
            await talk.say(run)
        is_no = meanwhile is Meanwhile.REJECT
        await talk.decide(run, "reject" if is_no else "approve")

    async def _meanwhile(self, run: RunSeen) -> None:
        talk, meanwhile = self._talk, self._spec.meanwhile
        if meanwhile in {Meanwhile.NOTHING, Meanwhile.REJECT}:
            return
        step = 1 if self._spec.step in {Step.TOOL, Step.APPROVAL} else 0
        # Reason: a refusal has no middle, and the next run waits for this one in any case.
        if not self._spec.oddity.is_refusal and not await talk.wait_asking(run, step):
            return
        is_endless = self._spec.oddity.is_endless
        await asyncio.sleep(
            _INTO_AN_ENDLESS_ANSWER_SECONDS if is_endless else _INTO_THE_ANSWER_SECONDS
        )
        match meanwhile:
            case Meanwhile.MESSAGE:
                await talk.say(run)
            case Meanwhile.INTERRUPT:
                await talk.say(run, is_interrupting=True)
            case Meanwhile.CANCEL:
                await talk.cancel(run)
            case Meanwhile.KILL:
                await talk.stand.kill_worker()
            case Meanwhile.SECOND_RUN:
                await talk.begin(f"And where is the {talk.tag()} ferry?")

    def _items(self, struck_place: int, payment: Json | None) -> list[Json]:
        """Return what the stand-in is to answer: later runs first, for their requests hold all."""
        spec, mark = self._spec, self._talk.mark
        tags = [f"{mark}{letter}" for letter in "abc"]
        struck, later = tags[struck_place], tags[struck_place + 1]
        items: list[Json] = [{"match": later, "text": FINE, "repeat": _MANY}]
        if spec.step is Step.TOOL:
            call: Json = {"name": "search_memory", "arguments": {"query": "trains"}}
            items.append({"match": struck, "tool_calls": [call]})
        elif payment is not None:
            arguments = {"payment_id": payment["payment_id"], "reason": "It was late."}
            call = {"name": "refund_payment", "arguments": arguments}
            items.append({"match": struck, "tool_calls": [call]})
        odd = {"match": struck, "behaviour": spec.behaviour, "window": spec.oddity.window}
        slow = spec.oddity.token_seconds * _SLOWER_FOR_A_KILL
        pace = slow if spec.meanwhile is Meanwhile.KILL else self._pace()
        items.append(odd | {"token_seconds": pace})
        rest: Json = {"match": struck, "text": FINE}
        if not spec.is_once:
            rest = odd | {"token_seconds": self._pace()}
        items.append(rest | {"repeat": _MANY})
        if struck_place:
            items.append({"match": tags[0], "text": FINE, "repeat": _MANY})
        return items

    def _pace(self) -> float:
        """Return how long a token takes: no longer than it must, if nobody acts meanwhile."""
        pace = self._spec.oddity.token_seconds
        is_idle = self._spec.meanwhile in {Meanwhile.NOTHING, Meanwhile.REJECT, Meanwhile.KILL}
        return min(pace, 0.002) if is_idle else pace
