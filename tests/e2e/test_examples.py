"""The first steps of the README work on a running stack."""

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.client import World
from tests.e2e.running import PROJECT


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_quickstart_runs_to_its_end(world: World) -> None:
    done = run("examples/quickstart.py", world.stack.facts_path.parent)
    assert done.returncode == 0, done.stderr
    assert "retried at once: recovered" in done.stdout
    assert "platform 4" in done.stdout
    assert "the payment: refunded" in done.stdout


def test_the_quickstart_says_what_it_takes(tmp_path: Path) -> None:
    helped = run("examples/quickstart.py", "--help")
    assert (helped.returncode, "stack.json of a running stack, or its folder" in helped.stdout) == (
        0,
        True,
    )
    for missing in (tmp_path, tmp_path / "stack.json"):
        done = run("examples/quickstart.py", missing)
        assert done.returncode == 1
        assert done.stderr.startswith(f"no stack runs here: {tmp_path / 'stack.json'} is missing")


def test_each_team_does_its_work(world: World) -> None:
    done = run("examples/teams.py", "all", world.stack.facts_path.parent)
    assert done.returncode == 0, done.stderr
    for answer in (
        "All five places have a station",
        "You paid 29.00 USD, once.",
        "The charge is right",
        "5.00 USD are on their way back to you.",
        "Done: `return sum(values)`",
    ):
        assert f"answer: {answer}" in done.stdout
    assert done.stdout.count("research: completed") == 6
    assert "approved: refund_payment" in done.stdout
    assert ".svg, " in done.stdout
    assert "      coding: completed" in done.stdout


def test_cases_are_played_and_versions_of_a_prompt_compared(world: World, tmp_path: Path) -> None:
    stack = ("--stack", world.stack.facts_path)
    cases = "examples/evals/research.toml"
    done = run("cli.py", "evals", "run", cases, "--prompt", "v1", *stack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2" in done.stdout

    wrong = tmp_path / "wrong.toml"
    wrong.write_text(
        'agent = "research"\n[[cases]]\nname = "never"\ninput = "Hello?"\n'
        'expect = {contains = ["no such words"]}\n',
        encoding="utf-8",
    )
    failed = run("cli.py", "evals", "run", wrong, "--prompt", "v1", "--prompt", "v1", *stack)
    assert failed.returncode == 1
    assert failed.stdout.count("it lacks 'no such words'") == 2
    refused = run("cli.py", "evals", "run", wrong, "--prompt", "v99", *stack)
    assert (refused.returncode, "unknown_prompt" in refused.stderr) == (2, True), refused.stderr


def test_one_request_from_the_command_line(world: World) -> None:
    stack = ("--stack", world.stack.facts_path)
    listed = run("cli.py", "api", "GET", "plans?limit=1", *stack)
    assert listed.returncode == 0, listed.stderr
    assert "items" in json.loads(listed.stdout)

    refused = run("cli.py", "api", "POST", "plans", '{"code": "incomplete"}', *stack)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "invalid_input"

    broken = run("cli.py", "api", "POST", "plans", "{", *stack)
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "the body is no JSON" in broken.stderr
