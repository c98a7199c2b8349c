"""Measures DBOS beside our agent runs: the same model call in three bare steps."""

import json
import statistics
import subprocess

from tests.bench.runs import ALONE_COUNT, ANSWER, ASKER_COUNT, RUNS_EACH
from tests.bench.sides import Side
from tests.conftest import PROJECT

PYTHON = PROJECT / ".venv-dbos" / "bin" / "python"
SCRIPT = PROJECT / "tests" / "bench" / "neighbours" / "dbos_runs" / "runs.py"
QUESTION = "Where does the train to Varna leave, asked with DBOS?"
TIMEOUT_SECONDS = 300


def is_installed() -> bool:
    """Return whether DBOS has its virtual environment, which `make bench` makes."""
    return PYTHON.exists()


def measure_dbos(side: Side) -> dict[str, float]:
    """Let a process with DBOS run its workflows on the stack's PostgreSQL and model server."""
    side.world.llm.script(QUESTION, {"text": ANSWER, "repeat": 1_000_000})
    facts = side.stack.facts
    model_url = f"{facts['llm'].removesuffix('/v1')}/v1/"
    counts = [str(count) for count in (ALONE_COUNT, ASKER_COUNT, RUNS_EACH)]
    command = [PYTHON, SCRIPT, facts["database_url"], model_url, "sk-bench", QUESTION, *counts]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_SECONDS
    )
    found = json.loads(done.stdout.splitlines()[-1])
    count = ASKER_COUNT * RUNS_EACH
    return {
        "one run alone, p50 (ms)": 1000 * statistics.median(found["alone"]),
        "one run alone, worker (CPU ms)": 1000 * found["alone_cpu"] / ALONE_COUNT,
        "runs at once (1/s)": count / found["at_once"],
        "runs at once, worker (CPU ms)": 1000 * found["at_once_cpu"] / count,
    }
