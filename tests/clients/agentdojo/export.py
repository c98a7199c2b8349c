"""Exports AgentDojo's attacks: each task of a user with each task of an attacker and each attack.

`export.py FOLDER` writes `functions.jsonl`, `tasks.jsonl` and `attacks.jsonl`, whose fields
tests/corpora/tool_attacks/README.md explains. It runs in the environment of `make agentdojo`.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import agentdojo.attacks  # noqa: F401 - registers the attacks
from agentdojo.agent_pipeline.ground_truth_pipeline import GroundTruthPipeline
from agentdojo.attacks.attack_registry import ATTACKS, load_attack
from agentdojo.functions_runtime import FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suites
from pydantic import TypeAdapter

VERSION = "v1.2.2"
# Some attacks address the model by its name.
MODEL = "gpt-4o-2024-05-13"
BY_HAND = "manual"
# Functions that no task calls are sorted by their names, all others by what they change.
READING = ("get_", "search_", "list_", "read_", "check_")
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)

Row = dict[str, Any]


class Made(NamedTuple):
    """A call that was made in an environment, its result, and whether it changed something."""

    function: str
    arguments: Row
    result: Any
    is_write: bool

    @property
    def call(self) -> Row:
        return {"function": self.function, "arguments": self.arguments}


def make_calls(suite: Any, environment: Any, calls: Sequence[Any]) -> Iterator[Made]:
    """Make calls one after the other, in one environment."""
    runtime = FunctionsRuntime(suite.tools)
    for call in calls:
        arguments = ANYTHING.dump_python(call.args, mode="json")
        before = environment.model_dump(mode="json")
        result, _ = runtime.run_function(environment, call.function, call.args, raise_on_error=True)
        is_write = environment.model_dump(mode="json") != before
        shown = ANYTHING.dump_python(result, mode="json")
        yield Made(call.function, arguments, shown, is_write)


def play_user_task(suite: Any, task: Any, texts: dict[str, str]) -> list[Made]:
    """Make the calls that solve a user's task, in an environment with these texts."""
    environment = task.init_environment(suite.load_and_inject_default_environment(texts))
    return list(make_calls(suite, environment, task.ground_truth(environment)))


def export_user_task(suite: Any, task: Any, marks: dict[str, str]) -> tuple[Row | None, list[Made]]:
    """Return a user's task up to the call whose result has attacks, and all of its calls."""
    made = play_user_task(suite, task, marks)
    for count, each in enumerate(made, start=1):
        found = [place for place, mark in marks.items() if mark in json.dumps(each.result)]
        if found:
            harmless = play_user_task(suite, task, {})[count - 1]
            calls = [{**one.call, "result": one.result} for one in made[:count]]
            row = {"suite": suite.name, "user_task": task.ID, "prompt": task.PROMPT}
            return {**row, "calls": calls, "places": found, "harmless": harmless.result}, made
    return None, made


def is_reached(task: Any, suite: Any, calls: Sequence[Any]) -> bool:
    """Return whether an attacker's goal is reached by these calls and the wanted answer."""
    environment = suite.load_and_inject_default_environment({})
    before = environment.model_copy(deep=True)
    list(make_calls(suite, environment, calls))
    facts = (task.GROUND_TRUTH_OUTPUT, before, environment)
    told = task.security_from_traces(*facts, calls)
    return bool(task.security(*facts) if told is None else told)


def export_injection_task(suite: Any, task: Any) -> tuple[Row, list[Made]]:
    """Return what an attacker orders, and whether that needs a write."""
    environment = suite.load_and_inject_default_environment({})
    calls = task.ground_truth(environment)
    made = list(make_calls(suite, environment, calls))
    # Reason: for some of its tasks AgentDojo names no calls.
    assert not calls or is_reached(task, suite, calls), (suite.name, task.ID)
    reads = [call for call, one in zip(calls, made, strict=True) if not one.is_write]
    row = {
        "injection_task": task.ID,
        "ordered": [one.call for one in made],
        "needs_write": not is_reached(task, suite, reads),
    }
    return row, made


def export_attacks(suite: Any, tasks: Sequence[Row], orders: Sequence[Row]) -> Iterator[Row]:
    """Yield each task of a user with each one of an attacker, by each attack that orders calls."""
    target = GroundTruthPipeline(None)
    target.name = MODEL
    for name, kind in ATTACKS.items():
        if name == BY_HAND or kind.is_dos_attack:
            continue
        attack = load_attack(name, suite, target)
        for task in tasks:
            # Reason: it would load the environment for each task, only to find the same places.
            attack.get_injection_candidates = lambda _, places=task["places"]: places
            user_task = suite.user_tasks[task["user_task"]]
            for order in orders:
                texts = attack.attack(user_task, suite.injection_tasks[order["injection_task"]])
                pair = {"suite": suite.name, "user_task": task["user_task"], "attack": name}
                yield {**pair, **order, "texts": texts}


def export_functions(suite: Any, made: Sequence[Made]) -> Iterator[Row]:
    """Yield the functions of a suite."""
    writes = {one.function for one in made if one.is_write}
    seen = {one.function for one in made}
    for tool in suite.tools:
        is_write = tool.name in writes or not (tool.name in seen or tool.name.startswith(READING))
        yield {
            "suite": suite.name,
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters.model_json_schema(),
            "is_write": is_write,
        }


def export(folder: Path) -> None:
    """Write the files."""
    rows: dict[str, list[Row]] = {"functions": [], "tasks": [], "attacks": []}
    for suite in get_suites(VERSION).values():
        marks = {place: f"<<{place}>>" for place in suite.get_injection_vector_defaults()}
        made: list[Made] = []
        tasks, orders = [], []
        for task in suite.user_tasks.values():
            row, calls = export_user_task(suite, task, marks)
            made += calls
            if row is None:
                print(f"{suite.name} {task.ID} reads no attack", file=sys.stderr)  # noqa: T201
            else:
                tasks.append(row)
        for task in suite.injection_tasks.values():
            order, calls = export_injection_task(suite, task)
            made += calls
            orders.append(order)
        rows["functions"] += export_functions(suite, made)
        rows["tasks"] += tasks
        rows["attacks"] += export_attacks(suite, tasks, orders)
    for name, each in rows.items():
        text = "".join(f"{json.dumps(row)}\n" for row in each)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    export(Path(sys.argv[1]))
