"""Runs whose model orders one effect of every kind, twice, and what must be true at their ends."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from anyio.from_thread import start_blocking_portal

from bootstrap.tools import read_mcp_servers, tool_sources
from services.agents.tools.mcp.agreed import write_agreed
from services.agents.tools.mcp.servers import McpServer
from tests.e2e.agents import ENDED, Asker
from tests.e2e.client import Document
from tests.e2e.running import wait_for
from tests.integration.agents.test_mcp_tools import Server
from tests.support.team_api import TeamApi, team_api
from tests.unit.agents.test_tool_files import write

AGENT = "clerk"
PAUSE_SECONDS = 0.15
LOCALHOST = ("127.0.0.1",)
KEYED, FOUND, BLIND, POST = ORDERS = (
    "order_keyed",
    "order_found",
    "order_blind",
    "shop_order_by_post",
)
TOOLS = ("refund_payment", "cancel_subscription", *ORDERS)
SPEC = f"""
description = "Does whatever it is told."
pattern = "pipeline"
prompt_version = "v1"
difficulty = "small"
tools = {list(TOOLS)}
passage_count = 0
max_step_count = 6
max_answer_tokens = 1000
"""
ORDER = {
    "description": "Order an article.",
    "method": "POST",
    "headers": {"X-Call": "{call_id}"},
    "business_key": "order:{sku}",
    "arguments": {
        "type": "object",
        "required": ["sku"],
        "properties": {"sku": {"type": "string", "description": "Which article."}},
    },
}


class Shops(NamedTuple):
    """The outside systems at which tools order: a server of HTTP and one of MCP."""

    api: TeamApi
    server: Server

    def order_count(self, tool: str, sku: str) -> int:
        """Return how often an article was ordered by a tool."""
        if tool == POST:
            return self.server.calls.count(f"post {sku}")
        return sum(order["sku"] == sku for order in self.api.orders)


@contextmanager
def open_shops(project: Path, folder: Path) -> Iterator[Shops]:
    """Run the outside systems, and add their tools and an agent to a copy of the product."""
    server = Server(folder)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            team_api(is_idempotent=True, pause_seconds=PAUSE_SECONDS)
        ) as api,
    ):
        try:
            add_agent(project, api, server)
            yield Shops(api, server)
        finally:
            server.stop()


def add_agent(project: Path, api: TeamApi, server: Server) -> None:
    """Add files of tools, of a server and of an agent to a copy of the product."""
    files = project / "agents" / "http_tools"
    files.mkdir(exist_ok=True)
    document = {**ORDER, "url": f"{api.url}/orders"}
    write(files, {**document, "idempotency_header": "Idempotency-Key"}, KEYED)
    look_up = {"lookup": f"{api.url}/find?call={{call_id}}", "lookup_after": "1s"}
    write(files, {**document, **look_up}, FOUND)
    write(files, document, BLIND)
    servers = project / "agents" / "mcp_servers"
    servers.mkdir(exist_ok=True)
    (servers / "shop.toml").write_text(f'url = "http://127.0.0.1:{server.port}/mcp"\n')
    (found,) = read_mcp_servers(str(servers), tool_sources(LOCALHOST, {}))
    assert isinstance(found, McpServer), found
    offered = asyncio.run(found.list_tools())
    write_agreed(servers, {"shop": {each.name: each for each in offered}})
    prompts = project / "agents" / "prompts" / AGENT
    prompts.mkdir()
    (prompts / "v1.md").write_text("You do what you are told.")
    (project / "agents" / "specs" / f"{AGENT}.toml").write_text(SPEC)


class Trial(NamedTuple):
    """One run with everything that it is to change, as it ended."""

    asker: Asker
    mark: str
    payment: Document
    subscription: Document
    run: Document
    seconds: float

    def sku(self, tool: str) -> str:
        return f"{tool}-{self.mark}"


def prepare(asker: Asker) -> Trial:
    """Make a payment and a second subscription, and tell the model what it will say."""
    mark, payment = uuid4().hex, asker.pay()
    plan = asker.world.plan()
    made = asker.customer.post("subscriptions", plan_id=plan["plan_id"])
    path = f"subscriptions/{made['subscription_id']}"
    wait_for("access", lambda: asker.customer.get(path)["access"] == "full")
    trial = Trial(asker, mark, payment, asker.customer.get(path), {}, 0.0)
    calls = list(_calls(trial))
    # Reason: what was said before is told by its text, for a killed worker asks again.
    first, second = f"First plan, {mark}.", f"Second plan, {mark}."
    asker.world.llm.script(second, {"text": "Done.", "repeat": 99})
    asker.world.llm.script(first, {"text": second, "tool_calls": calls, "repeat": 99})
    asker.world.llm.script(mark, {"text": first, "tool_calls": calls, "repeat": 99})
    return trial


def _calls(trial: Trial) -> Iterator[Document]:
    refund = {"payment_id": trial.payment["payment_id"], "reason": "it was late"}
    yield {"name": "refund_payment", "arguments": refund}
    cancel = {
        "subscription_id": trial.subscription["subscription_id"],
        "when": "now",
        "is_unused_time_refunded": True,
        "reason": "it was late",
    }
    yield {"name": "cancel_subscription", "arguments": cancel}
    for tool in ORDERS:
        yield {"name": tool, "arguments": {"sku": trial.sku(tool)}}


def tell(trial: Trial) -> Trial:
    """Run to the end, and say yes to every call that may still be needed."""
    began, asker = time.monotonic(), trial.asker
    run = asker.customer.post("agent-runs", agent=AGENT, input=f"Do it all, {trial.mark}.")
    decided: set[str] = set()
    while (seen := asker.look(run))["run_status"] not in ENDED:
        for pending in seen["pending_approvals"]:
            if pending["call_id"] not in decided:
                decided.add(pending["call_id"])
                _decide(trial, seen, pending)
        time.sleep(0.1)
    return trial._replace(run=seen, seconds=time.monotonic() - began)


def _decide(trial: Trial, run: Document, pending: Document) -> None:
    """Say yes; but no to a call whose effect the person knows to be there."""
    asker = trial.asker
    # Reason: a tool without a business key does again what it is told again with a person's yes.
    is_needed = pending["tool"] != POST or not _is_done(trial, run, POST)
    facts = {"call_id": pending["call_id"], "args_sha256": pending["args_sha256"]}
    decision = "approve" if is_needed else "reject"
    path = f"agent-runs/{run['agent_run_id']}/approve"
    asker.world.admin.post(path, **facts, decision=decision)


def _is_done(trial: Trial, run: Document, tool: str) -> bool:
    return "done" in [result["status"] for result in results(trial, run).get(tool, [])]


def results(trial: Trial, run: Document) -> dict[str, list[Document]]:
    """Return the results of a run's calls by tool, oldest first."""
    found: dict[str, list[Document]] = {}
    for step in trial.asker.steps(run):
        for call in step["tool_calls"]:
            if call["result"] is not None:
                found.setdefault(call["tool"], []).append(call["result"])
    return found


def audit(trial: Trial, shops: Shops) -> list[str]:
    """Check that each effect is there once; return the tools whose outcome nobody knows."""
    assert trial.run["run_status"] == "completed", trial.run
    world, told = trial.asker.world, results(trial, trial.run)
    assert set(told) == set(TOOLS), told
    assert [len(each) for each in told.values()] == [2] * len(TOOLS), told
    assert len(world.stripe.refunds(trial.payment["stripe_payment_intent_id"])) == 1
    _audit_cancellation(trial)
    for tool in ("refund_payment", "cancel_subscription", KEYED, FOUND):
        assert [each["status"] for each in told[tool]] == ["done", "already_done"], told[tool]
    for tool in (KEYED, FOUND):
        assert shops.order_count(tool, trial.sku(tool)) == 1, tool
    return [tool for tool in (BLIND, POST) if _is_unknown(trial, shops, tool, told[tool])]


def _audit_cancellation(trial: Trial) -> None:
    asker, subscription = trial.asker, trial.subscription
    seen = asker.customer.get(f"subscriptions/{subscription['subscription_id']}")
    assert seen["subscription_status"] == "canceled"
    stripe = asker.world.stripe
    (charge,) = stripe.charges(subscription["stripe_subscription_id"])
    assert len(stripe.refunds(charge["payment_intent"])) == 1, "the unused time is refunded once"


def _is_unknown(trial: Trial, shops: Shops, tool: str, told: list[Document]) -> bool:
    """Check a tool that nothing can be asked; return whether a person had to tell its outcome."""
    count, (first, second) = shops.order_count(tool, trial.sku(tool)), told
    if first["status"] == "done":
        assert count == 1, (tool, count)
        assert second["status"] == ("rejected" if tool == POST else "already_done"), told
        return False
    assert (first["status"], count <= 1) == ("outcome_unknown", True), (tool, count, told)
    assert (second["status"], second["code"]) == ("failed", "outcome_unknown"), told
    admin = trial.asker.world.admin
    run_id = trial.run["agent_run_id"]
    (row,) = [
        row
        for row in admin.items("tool-calls")
        if (row["agent_run_id"], row["tool"]) == (run_id, tool)
    ]
    admin.post(f"tool-calls/{row['call_id']}/outcome", is_done=count == 1)
    assert shops.order_count(tool, trial.sku(tool)) == count
    return True
