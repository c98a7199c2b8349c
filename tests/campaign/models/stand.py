"""One stack with everything around it: its API, the stand-ins, its database, and its worker."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.campaign.models.evidence import ENDED, Json
from tests.campaign.outside import Caller, Outside, good, until

AMOUNT_CENTS = 2_000
PATIENCE_SECONDS = 150.0
_SETTING_UP_SECONDS = 90.0
_GATHER_SECONDS = 5.0
_API = "/api/v1"
_TIMEOUT = httpx.Timeout(60.0, pool=None)

_RUN = """SELECT run_status, finish_reason, error_code, error_message, output, last_event_seq
FROM agent_runs WHERE agent_run_id = %s"""
_USAGE = """SELECT step, attempt, usage_status, outcome, is_estimated, prompt_token_count,
 completion_token_count, reserved_prompt_token_count, reserved_completion_token_count,
 extract(epoch FROM created_at)::float8 AS created_wall_time
FROM usage_records WHERE agent_run_id = %s AND usage_kind = 'model_call' ORDER BY step, attempt"""
_CALLS = """SELECT c.call_id::text, c.tool, c.step, c.tool_call_status, c.completed_at,
 a.approval_status FROM tool_calls c LEFT JOIN approvals a USING (call_id)
WHERE c.agent_run_id = %s ORDER BY c.step, c.position"""
_UNDER_WAY = """SELECT count(*) AS count FROM usage_records WHERE agent_run_id = %s
AND usage_kind = 'model_call' AND step = %s AND usage_status = 'reserved'"""
# How many runs have failed since a model last answered well: a few are reason to leave it alone.
_FAILED_RUNS = """SELECT count(DISTINCT agent_run_id) AS count FROM usage_records
WHERE usage_kind = 'model_call' AND outcome NOT IN ('succeeded', 'canceled')
AND settled_at > now() - interval '60 seconds'"""


class Customer(NamedTuple):
    """Somebody with a subscription and a card."""

    caller: Caller
    payment_method_id: str


class Database:
    """The product's database, read only."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[Json] | None = None
        self._lock = asyncio.Lock()

    async def rows(self, sql: str, *values: Any) -> list[Json]:
        """Read rows."""
        async with self._lock:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    row_factory=dict_row,
                    options="-c default_transaction_read_only=on",
                )
            cursor = await self._connection.execute(sql.encode(), values)
            return await cursor.fetchall()

    async def run(self, agent_run_id: str) -> Json:
        """Return a run's row; an empty one if there is none."""
        found = await self.rows(_RUN, agent_run_id)
        return found[0] if found else {}

    async def usage(self, agent_run_id: str) -> list[Json]:
        """Return what a run's calls of models are booked at."""
        return await self.rows(_USAGE, agent_run_id)

    async def tool_calls(self, agent_run_id: str) -> list[Json]:
        """Return a run's ledger of tools."""
        return await self.rows(_CALLS, agent_run_id)

    async def is_asking(self, agent_run_id: str, step: int) -> bool:
        """Tell whether a model is being asked at a step."""
        return bool((await self.rows(_UNDER_WAY, agent_run_id, step))[0]["count"])

    async def failed_run_count(self) -> int:
        """Return how many runs have failed lately at a model."""
        return int((await self.rows(_FAILED_RUNS))[0]["count"])

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()


class Stand:
    """A stack, and who is around it.

    Args:
        provider: Whose words its worker speaks.
        facts: Reads its `stack.json`.
        patience: For how many seconds a run may go on.
    """

    def __init__(
        self, provider: str, facts: Callable[[], Json], patience: float = PATIENCE_SECONDS
    ) -> None:
        self.provider = provider
        self.patience = patience
        self._facts = facts
        known = facts()
        self.outside = Outside(known)
        self.database = Database(known["database_url"])
        llm_url = known["llm"].removesuffix("/v1")
        self._llm = httpx.AsyncClient(base_url=llm_url, timeout=_TIMEOUT)
        self.customers: list[Customer] = []
        self.kill_times: list[float] = []
        self._killing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self.outside.close()
        await self._llm.aclose()
        await self.database.close()

    async def prepare(self, count: int) -> None:
        """Sign customers up; the last one is the healthy one, whom nothing odd ever meets.

        Args:
            count: One more than lives are played side by side: what a customer's runs remember
                holds their tags, to which the script of another life would answer.
        """
        plan_id = await self._plan()
        self.customers = list(
            await asyncio.gather(*(self._customer(plan_id) for _ in range(count)))
        )

    async def _plan(self) -> str:
        code = f"models-{uuid4().hex[:8]}"
        policy = {"schedules": {"default": ["1s"]}, "grace": "7d"}
        admin = self.outside.admin
        good(await admin.once("PUT", f"retry-policies/{code}", json=policy))
        body = {
            "code": code, "name": "Models", "amount_cents": 2_900, "currency_code": "usd",
            "interval": "month", "retry_policy": code,
        }  # fmt: skip
        return str(good(await admin.once("POST", "plans", json=body))["plan_id"])

    async def _customer(self, plan_id: str) -> Customer:
        caller = await self.outside.customer(f"models-{uuid4().hex}@example.com")
        card = {"stripe_payment_method_id": await self.outside.sandbox.card("ok")}
        path, seconds = "payment-methods", _SETTING_UP_SECONDS
        reply = await caller.send(path, card | {"is_default": True}, seconds)
        method = _document(reply)["payment_method_id"]
        reply = await caller.send("subscriptions", {"plan_id": plan_id}, seconds)
        path = f"subscriptions/{_document(reply)['subscription_id']}"

        async def has_access() -> bool:
            return bool((await caller.get(path))["access"] == "full")

        await until("access", has_access, seconds)
        return Customer(caller, method)

    async def pay(self, customer: Customer) -> Json:
        """Make a payment that can be refunded."""
        body = {"amount_cents": AMOUNT_CENTS, "currency_code": "usd"}
        body |= {"payment_method_id": customer.payment_method_id}
        reply = await customer.caller.send("payments", body, _SETTING_UP_SECONDS)
        path = f"payments/{_document(reply)['payment_id']}"

        async def paid() -> Json | None:
            found = await customer.caller.get(path)
            return found if found["payment_status"] == "succeeded" else None

        made: Json = await until("the payment", paid, _SETTING_UP_SECONDS)
        return made

    async def script(self, *items: Json) -> None:
        """Queue replies of the models' stand-in."""
        good(await self._llm.post("/_sandbox/script", json={"items": list(items)}))

    async def log(self) -> list[Json]:
        """Return all calls of models since the last reset."""
        items: list[Json] = good(await self._llm.get("/_sandbox/requests"))["items"]
        return [item for item in items if isinstance(item["body"].get("messages"), list)]

    async def forget(self) -> None:
        """Let the models' stand-in forget its log and its script."""
        good(await self._llm.post("/_sandbox/reset"))

    async def be_strict(self, *, is_on: bool) -> None:
        """Let the stand-in hold every request against a strict server's rules, or no more."""
        good(await self._llm.post("/_sandbox/strict", json={"is_on": is_on}))

    async def refunds(self) -> list[Json]:
        """Return all that Stripe has paid back."""
        ledger = good(await self.outside.stripe.http.get("/_sandbox/ledger"))["items"]
        return [row for row in ledger if row["kind"] == "refund" and row["outcome"] == "succeeded"]

    async def events(self, customer: Customer, agent_run_id: str) -> list[Json]:
        """Read the stream of a run that is over, to its end."""
        path = f"agent-runs/{agent_run_id}/events"
        text = (await customer.caller.once("GET", path)).text
        lines = [line for line in text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    async def kill_worker(self) -> None:
        """Kill the worker with SIGKILL, once for all that ask at about the same time."""
        if self._killing is None or self._killing.done():
            self._killing = asyncio.create_task(self._kill())
        await self._killing

    async def _kill(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        old = self._facts()["pids"]["worker"][0]
        self.kill_times.append(time.time())
        os.kill(old, signal.SIGKILL)

        async def is_back() -> bool:
            return bool(self._facts()["pids"]["worker"][0] != old)

        await until("a new worker", is_back, _SETTING_UP_SECONDS)

    async def status(self, agent_run_id: str) -> str:
        """Return where a run stands."""
        return str((await self.database.run(agent_run_id)).get("run_status"))

    async def has_ended(self, agent_run_id: str) -> bool:
        """Tell whether a run is over."""
        return await self.status(agent_run_id) in ENDED


def _document(reply: httpx.Response | None) -> Json:
    if reply is None:
        raise TimeoutError("the API does not answer")
    return good(reply)
