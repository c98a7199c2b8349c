"""Ruff refuses code that breaks its rules, above all code that a workflow cannot replay."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CLEAN = '"""Planted."""\n\nANSWER = 42\n'
BANNED = {
    "datetime.now": "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n",
    "datetime.utcnow": "from datetime import datetime\n\nNOW = datetime.utcnow()\n",
    "date.today": "from datetime import date\n\nTODAY = date.today()\n",
    "time": "import time\n\nNOW = time.monotonic()\n",
    "time.sleep": "from time import sleep\n\nsleep(1)\n",
    "asyncio.sleep": "import asyncio\n\nNAP = asyncio.sleep(1)\n",
    "asyncio.wait": "import asyncio\n\nWAIT = asyncio.wait([])\n",
    "asyncio.as_completed": "import asyncio\n\nDONE = asyncio.as_completed([])\n",
    "asyncio.to_thread": "import asyncio\n\nLINE = asyncio.to_thread(input)\n",
    "random": "import random\n\nDICE = random.random()\n",
    "secrets": "import secrets\n\nTOKEN = secrets.token_hex()\n",
    "uuid4": "from uuid import uuid4\n\nKEY = uuid4()\n",
    "uuid1": "import uuid\n\nKEY = uuid.uuid1()\n",
    "os": "import os\n\nHOME = os.environ\n",
    "threading": "import threading\n\nLOCK = threading.Lock()\n",
    "subprocess": "import subprocess\n\nRUN = subprocess.run\n",
    "structlog": "import structlog\n\nLOG = structlog.get_logger()\n",
    "logging": "import logging\n\nLOG = logging.getLogger()\n",
}


def ruff(*arguments: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "-"],
        input=code,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def check(path: str, code: str) -> subprocess.CompletedProcess[str]:
    return ruff("check", "--no-cache", "--stdin-filename", path, code=code)


@pytest.mark.parametrize("path", ["workflows/planted.py", "workflows/graphs/planted.py"])
def test_clean_code_passes_in_a_workflow(path: str) -> None:
    assert check(path, CLEAN).returncode == 0


@pytest.mark.parametrize("path", ["workflows/planted.py", "workflows/graphs/planted.py"])
@pytest.mark.parametrize("name", BANNED)
def test_what_replays_differently_is_banned_in_workflows(path: str, name: str) -> None:
    refused = check(path, f'"""Planted."""\n\n{BANNED[name]}')

    assert refused.returncode == 1
    assert "TID251" in refused.stdout or "DTZ011" in refused.stdout


def test_the_bans_hold_in_workflows_only() -> None:
    assert check("activities/planted.py", f'"""Planted."""\n\n{BANNED["os"]}').returncode == 0


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ('"""Planted."""\n\nimport json\n', "F401"),
        ('"""Planted."""\n\n\ndef nameless(value):\n    """Do."""\n    return value\n', "ANN001"),
        ('"""Planted."""\n\n\ndef silent() -> None:\n    pass\n', "D103"),
    ],
)
def test_a_broken_lint_rule_is_refused(code: str, rule: str) -> None:
    refused = check("domain/planted.py", code)

    assert refused.returncode == 1
    assert rule in refused.stdout


def test_sloppy_format_is_refused() -> None:
    sloppy = ruff("format", "--check", "--stdin-filename", "domain/planted.py", code="a  =  'b'\n")
    tidy = ruff("format", "--check", "--stdin-filename", "domain/planted.py", code='a = "b"\n')

    assert (sloppy.returncode, tidy.returncode) == (1, 0)
