"""The tracer records functions that run in a window, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

from tests.gates.trace_ways import TRACER, Call, Windows, files_of

WORKER = """
import asyncio, sys, threading
from domain.rules import decide
from services.idle import tick
from workflows.graph import node
from adapters.thread import ask

def show(word):
    print(word, flush=True)
    sys.stdin.readline()

tick()
for word in ("idle", "way"):
    show(word)
    tick()
    if word == "way":
        decide()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
show("armed")
asyncio.run(node())
decide()
show("end")
"""
FILES = {
    "worker.py": WORKER,
    "domain/rules.py": "def decide():\n    from domain.late import RULE\n    return RULE\n",
    "domain/late.py": "def rule():\n    return 1\n\nRULE = rule()\n",
    "services/idle.py": "from domain.base import now\n\ndef tick():\n    now()\n",
    "domain/base.py": "def now():\n    pass\n",
    "adapters/thread.py": "def ask():\n    pass\n",
    "workflows/graph.py": """
import asyncio
from services.step import step

async def node():
    await asyncio.sleep(0)
    return step()
""",
    "services/step.py": "def step():\n    return 1\n",
    "sandbox/outside.py": "",
}


def test_functions_that_run_in_a_window_are_recorded(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "trace"
    folder.mkdir()
    windows = Windows(folder)
    environment = os.environ | {
        "PYTHONPATH": str(TRACER),
        "PERDURE_TRACE_FOLDER": str(folder),
        "PERDURE_TRACE_TRIGGER": "workflows/graph.py:node",
    }
    with subprocess.Popen(
        [sys.executable, "worker.py"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        words = iter(process.stdout.readline, "")

        def go_on() -> None:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

        assert next(words) == "idle\n"
        with windows.open(1):
            go_on()
            assert next(words) == "way\n"
        with windows.open(2):
            go_on()
            assert next(words) == "armed\n"
        windows.arm(3)
        go_on()
        assert next(words) == "end\n"
        go_on()
        assert process.wait(100) == 0
    idle, way, step = (windows.calls(number) for number in (1, 2, 3))
    assert Call("domain/base.py", "now", "services/idle.py:tick") in idle
    assert files_of([way], idle) == ["adapters/thread.py", "domain/rules.py"]
    assert files_of([step], idle) == ["services/step.py", "workflows/graph.py"]
