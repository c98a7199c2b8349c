"""Five teams of agents, one for each pattern, on a stack that `make up` has started.

Run: `python examples/teams.py [TEAM] [STACK]`. TEAM is one of the names below, or `all`. It signs
up a user, subscribes them, gives the team something to do, follows it, and prints the tree of its
runs.

On a stack of `make up` the models are a stand-in, which says what this file tells it to say; with a
real model the same requests work, and the models plan themselves.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

Reply = dict[str, Any]


class Team(NamedTuple):
    """A team, what it is asked, and what the stand-in's models say.

    Args:
        agent: Name of the agent that leads it.
        question: What the user asks.
        replies: What each model says in turn, by words of the prompt or of the task that it reads.
    """

    agent: str
    question: str
    replies: dict[str, list[Reply]]


def call(tool: str, **arguments: Any) -> Reply:
    """Return a reply that calls a tool."""
    return {"tool_calls": [{"name": tool, "arguments": arguments}]}


def tasks(**by_agent: str | list[str]) -> Reply:
    """Return a reply that gives tasks to members, all at once."""
    pairs = [
        (agent, task)
        for agent, given in by_agent.items()
        for task in ([given] if isinstance(given, str) else given)
    ]
    calls = [
        {"name": "delegate", "arguments": {"agent": agent, "task": task}} for agent, task in pairs
    ]
    return {"tool_calls": calls}


def research_report(_: str) -> Team:
    """A supervisor: five searchers work on the parts of one question at the same time."""
    parts = [f"What do the documents say about {part}?" for part in PLACES]
    replies: dict[str, list[Reply]] = {
        "You write a report about a customer": [
            tasks(research=parts),
            {"text": "All five places have a station with a platform of their own."},
        ],
    }
    replies |= {part: [{"text": f"{part[:-1]}: there is a station."}] for part in parts}
    return Team("research_report", "Which places can be reached by train?", replies)


def data_report(_: str) -> Team:
    """A pipeline: one finds the figures, the next one draws and presents them."""
    return Team(
        "data_report",
        "What did I pay, and what does it look like?",
        {
            "You answer questions of a customer about the customer": [
                call("read_billing", records="payments"),
                {"text": "One payment of 29.00 USD."},
            ],
            "You get a question and the figures": [
                call(
                    "make_chart",
                    kind="bar",
                    title="Payments",
                    labels=["today"],
                    series_names=["USD"],
                    values=[[29.0]],
                    name="payments.svg",
                ),
                {"text": "You paid 29.00 USD, once."},
            ],
        },
    )


def dispute_triage(_: str) -> Team:
    """A hub and its spokes: three look at a dispute at the same time, two have to answer."""
    return Team(
        "dispute_triage",
        "Why was I charged? I never ordered this.",
        {
            "You find what a customer and we said": [{"text": "Nothing was said about it."}],
            "You answer questions of a customer about the customer": [
                {"text": "There is one paid invoice of 29.00 USD."}
            ],
            "You answer questions of a customer from": [{"text": "The documents say nothing."}],
            "You triage a customer": [{"text": "The charge is right: the plan was started today."}],
        },
    )


def help_desk(payment_id: str) -> Team:
    """Peers: the front desk hands over to billing, which refunds after a person's yes."""
    refund = call("refund_payment", payment_id=payment_id, amount_cents=500, reason="late train")
    return Team(
        "help_desk",
        "My train was late. Can I have 5 dollars back?",
        {
            "You are the first to whom a customer talks": [
                call("hand_over", agent="support", task="Wants 5.00 USD back for a late train.")
            ],
            "You are the support desk of a company": [
                refund,
                {"text": "5.00 USD are on their way back to you."},
            ],
        },
    )


def code_change(_: str) -> Team:
    """A hierarchy: a leader has a team of coders, and somebody for the release note."""
    return Team(
        "code_change",
        "Make `total([])` return 0. Now it raises an error.",
        {
            "You lead a change of code": [
                tasks(coding_team="Make `total` return 0 for an empty list, and try it."),
                tasks(release_notes="`total([])` returns 0 now."),
                {"text": "Done: `return sum(values)`, and the test passes."},
            ],
            "You lead two people who change code": [
                tasks(coding="Write `total` so that an empty list gives 0, with a test."),
                tasks(code_review="def total(values): return sum(values)"),
                {"text": "It is written and reviewed."},
            ],
            "Write `total` so that": [{"text": "def total(values): return sum(values)"}],
            "You review a change of code": [{"text": "Yes, it may go in."}],
            "You write a release note": [{"text": "Empty lists have a total of 0 now."}],
        },
    )


PLACES = ("Varna", "Ruse", "Sofia", "Burgas", "Plovdiv")
TEAMS: dict[str, Callable[[str], Team]] = {
    "research_report": research_report,
    "data_report": data_report,
    "dispute_triage": dispute_triage,
    "help_desk": help_desk,
    "code_change": code_change,
}
parser = argparse.ArgumentParser(description="Five teams of agents, on a running stack.")
parser.add_argument("team", nargs="?", default="all", choices=[*TEAMS, "all"])
parser.add_argument(
    "stack",
    nargs="?",
    type=Path,
    default=Path(".perdure"),
    help="stack.json of a running stack, or its folder; by default .perdure",
)
CHOICE = parser.parse_args()
PATH: Path = CHOICE.stack / "stack.json" if CHOICE.stack.is_dir() else CHOICE.stack
if not PATH.is_file():
    raise SystemExit(f"no stack runs here: {PATH} is missing; start one with `make up`")
STACK = json.loads(PATH.read_text())
API = f"{STACK['api']}/api/v1/"
SANDBOX = httpx.Client(base_url=STACK["stripe"])
ADMIN = httpx.Client(base_url=API, headers={"X-API-Key": STACK["admin_api_key"]}, timeout=30)
USER = httpx.Client(base_url=API, timeout=30)


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """POST once: a POST answered 503 is repeated with its key, and nothing is done twice."""
    headers = {"Idempotency-Key": uuid4().hex}
    deadline = time.monotonic() + 60
    while (reply := client.post(path, json=body, headers=headers)).status_code == 503:
        if time.monotonic() > deadline:
            break
        time.sleep(float(reply.headers.get("Retry-After", "1")))
    return reply.raise_for_status().json()


def read(path: str) -> Any:
    """Read a resource."""
    return USER.get(path).raise_for_status().json()


def wait_until(path: str, is_there: Callable[[Any], bool]) -> Any:
    """Read a resource until it fulfills a condition, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not is_there(seen := read(path)):
        if time.monotonic() > deadline:
            raise SystemExit(f"{path} does not change as expected: {seen}")
        time.sleep(0.2)
    return seen


def subscribe() -> str:
    """Make a user with a paid subscription, and return the id of the payment."""
    email, password = f"{uuid4().hex[:6]}@example.com", uuid4().hex
    price = {"amount_cents": 2900, "currency_code": "usd", "interval": "month"}
    plan = post(ADMIN, "plans", {"code": f"pro-{uuid4().hex[:6]}", "name": "Pro", **price})
    post(USER, "users", {"email": email, "password": password})
    token = USER.post("auth/token", data={"username": email, "password": password}).json()
    USER.headers["Authorization"] = f"Bearer {token['access_token']}"
    made = SANDBOX.post("/_sandbox/payment-methods", json={"script": ["ok"]}).json()
    card = {"stripe_payment_method_id": made["id"], "is_default": True}
    post(USER, "payment-methods", card)
    post(USER, "subscriptions", {"plan_id": plan["plan_id"]})
    paid = wait_until("payments", lambda seen: bool(seen["items"]))
    payment_id: str = paid["items"][0]["payment_id"]
    return payment_id


def say(team: Team) -> None:
    """Tell the stand-in what its models say; a real model needs nobody to tell it."""
    if "llm" not in STACK:
        return
    items = [
        {**reply, "match": words} for words, replies in team.replies.items() for reply in replies
    ]
    httpx.post(f"{STACK['llm']}/_sandbox/script", json={"items": items}).raise_for_status()


def decide(run: Any) -> None:
    """Say yes, as an administrator, to what a run of the team waits for."""
    for pending in run["pending_approvals"]:
        print(f"  approved: {pending['tool']} {pending['arguments']}")
        body = {
            "call_id": pending["call_id"],
            "args_sha256": pending["args_sha256"],
            "decision": "approve",
        }
        post(ADMIN, f"agent-runs/{pending['agent_run_id']}/approve", body)


def follow(agent_run_id: str) -> Any:
    """Wait until a run has ended, and decide what it waits for."""
    path = f"agent-runs/{agent_run_id}"
    while True:
        run = wait_until(path, lambda seen: seen["completed_at"] or seen["pending_approvals"])
        if run["completed_at"]:
            return run
        decide(run)


def show(run: Any, depth: int = 1) -> None:
    """Print a run and all runs below it."""
    tokens = run["usage"]["prompt_tokens"] + run["usage"]["completion_tokens"]
    print(f"{'  ' * depth}{run['agent']}: {run['run_status']}, {tokens} tokens")
    for file in read(f"agent-runs/{run['agent_run_id']}/artifacts")["items"]:
        print(f"{'  ' * depth}  file: {file['name']}, {file['size_bytes']} bytes")
    for child in read(f"agent-runs/{run['agent_run_id']}/children")["items"][::-1]:
        show(child, depth + 1)


def main() -> None:
    """Give the chosen teams something to do, and print what became of it."""
    payment_id = subscribe()
    for name in TEAMS if CHOICE.team == "all" else [CHOICE.team]:
        team = TEAMS[name](payment_id)
        say(team)
        print(f"{name}: {team.question}")
        started = post(USER, "agent-runs", {"agent": team.agent, "input": team.question})
        run = follow(started["agent_run_id"])
        show(run)
        print(f"  answer: {run['output']}\n")


main()
