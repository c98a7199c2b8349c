"""Plays cases against a running stack."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from commands.api import call_api
from commands.demo.api_client import ApiClient
from commands.evals.cases import Case, EvalFileError, Outcome, problems_of

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 300.0
OPEN = frozenset({"queued", "running"})


class Player:
    """Plays cases as one user, with the rights of an administrator.

    Args:
        facts: What the `stack.json` of the running stack says.
        agent: Name of the agent.
        user_id: Who owns the runs; None makes a user with a subscription, in a sandbox only.
    """

    def __init__(self, facts: Mapping[str, Any], agent: str, user_id: str | None) -> None:
        self._facts = facts
        self._agent = agent
        self._user_id = user_id or _make_user(facts)
        self._documents: set[str] = set()

    def play(self, case: Case, prompt_version: str | None) -> Outcome:
        """Play a case, and return what became of it.

        Args:
            case: The case.
            prompt_version: Version of the prompt; None for the agent's own.
        """
        for document in case.documents:
            self._put_document(document.title, document.content)
        self._script(case)
        body = {"agent": self._agent, "input": case.input, "user_id": self._user_id}
        if prompt_version is not None:
            body["prompt_version"] = prompt_version
        began = time.monotonic()
        run = self._ask("POST", "agent-runs", body)
        path = f"agent-runs/{run['agent_run_id']}"
        while run["run_status"] in OPEN:
            if time.monotonic() - began > TIMEOUT_SECONDS:
                break
            run = self._ask("GET", f"{path}?wait=5s")
        seconds = time.monotonic() - began
        steps = self._ask("GET", f"{path}/steps")["items"]
        called = {call["tool"] for step in steps for call in step["tool_calls"]}
        if run["completed_at"] is None:
            self._ask("POST", f"{path}/cancel")
        usage = run["usage"]
        return Outcome(
            name=case.name,
            prompt_version=run["prompt_version"],
            problems=tuple(problems_of(run, called, case.expect)),
            token_count=usage["prompt_tokens"] + usage["completion_tokens"],
            cost_cents=usage["cost_cents"],
            seconds=seconds,
        )

    def _script(self, case: Case) -> None:
        """Tell the stand-in what its model says; a real model needs nobody to tell it."""
        if case.replies and "llm" in self._facts.get("pids", {}):
            items = [{**reply, "match": case.input} for reply in case.replies]
            url = f"{self._facts['llm'].removesuffix('/v1')}/_sandbox/script"
            httpx.post(url, json={"items": items}).raise_for_status()

    def _put_document(self, title: str, content: str) -> None:
        if title in self._documents:
            return
        self._documents.add(title)
        body = {"title": title, "content": content, "user_id": self._user_id}
        document = self._ask("POST", "documents", body)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while document["document_status"] == "pending" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            document = self._ask("GET", f"documents/{document['document_id']}")
        if document["document_status"] != "ready":
            raise EvalFileError(f"the document {title!r} is {document['document_status']}")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        text = None if body is None else json.dumps(body)
        status, answer = call_api(method, path, text, self._facts)
        if status >= 400:
            raise EvalFileError(f"{method} {path} is answered with {status}: {answer}")
        return json.loads(answer)


def _make_user(facts: Mapping[str, Any]) -> str:
    """Make a user with a subscription in the sandbox, and return the user's id.

    Raises:
        EvalFileError: Stripe is no sandbox: nobody is charged for an evaluation.
    """
    if "stripe" not in facts.get("pids", {}):
        raise EvalFileError("name the user who owns the runs: --user-id")
    admin, user = ApiClient(facts["api"]), ApiClient(facts["api"])
    admin.identify("X-API-Key", facts["admin_api_key"])
    email, password = f"evals-{uuid4().hex[:8]}@example.com", uuid4().hex
    made = user.post("users", {"email": email, "password": password})
    user.log_in(email, password)
    price = {"amount_cents": 100, "currency_code": "usd", "interval": "month"}
    plan = admin.post("plans", {"code": f"evals-{uuid4().hex[:8]}", "name": "Evals", **price})
    sandbox = f"{facts['stripe']}/_sandbox/payment-methods"
    card = httpx.post(sandbox, json={"script": ["ok"]}).raise_for_status().json()
    user.post("payment-methods", {"stripe_payment_method_id": card["id"], "is_default": True})
    user.post("subscriptions", {"plan_id": plan["plan_id"]})
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while user.get("entitlements")["access"] != "full":
        if time.monotonic() > deadline:
            raise EvalFileError("the user's subscription does not become active")
        time.sleep(POLL_SECONDS)
    user_id: str = made["user_id"]
    return user_id
