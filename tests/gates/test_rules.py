"""Each rule of `rules.py` finds its violation in a small project."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gates import rules

PYPROJECT = """
[tool.perdure]
areas = ["plans"]
[tool.importlinter]
root_packages = ["domain", "workflows", "activities", "api"]
"""
LONG_BODY = "    value = 1\n" * rules.MAX_FUNCTION_LINES
MANY_FIELDS = "    value: int = 1\n" * rules.MAX_CLASS_LINES


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a small project that breaks no rule."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "requirements.lock").write_text("ruff==1.0 \\\n    --hash=sha256:00\n")
    (tmp_path / "worker.py").write_text("from config import Settings\n\nSettings()\n")
    for package in ("domain", "workflows", "activities", "api"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "domain/rules.py").write_text("import enum\nimport pydantic\nimport domain.other\n")
    (tmp_path / "workflows/one.py").write_text("from temporalio import workflow\n")
    return tmp_path


def test_a_clean_project_breaks_nothing(project: Path) -> None:
    assert list(rules.violations(project)) == []


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("domain/rules.py", f"def long() -> None:\n{LONG_BODY}", "rules.py:1: long has 51 lines"),
        (
            "api/routes.py",
            f"@decorated\nasync def long() -> None:\n{LONG_BODY}",
            "routes.py:2: long has 51 lines",
        ),
        ("api/shapes.py", f"class Wide:\n{MANY_FIELDS}", "shapes.py:1: Wide has 101 lines"),
        ("worker.py", "import sys\n" * 301, "worker.py: 301 lines"),
        ("sandbox/server.py", "import sys\n" * 1_001, "server.py: 1001 lines"),
        ("domain/attic/rules.py", "", "domain/attic: attic is not an area"),
        ("activities/plans.py", "class Plans:\n    pass\n", "plans.py:1: Plans has no activity"),
        ("tests/test_long.py", "import sys\n" * 1_001, "test_long.py: 1001 lines"),
        ("domain/rules.py", "from requests import get\n", "domain may not import requests"),
        ("domain/rules.py", "import config\n", "domain may not import config"),
        ("workflows/one.py", "import openai\n", "workflows may not import openai"),
        ("api/deps.py", "from config import Settings\n\nSettings()\n", "deps.py:3: only worker.py"),
        ("domain/rules.py", "import config\n\nconfig.Settings()\n", "rules.py:3: only worker.py"),
        ("agents/specs.py", "", "agents is missing in import-linter's root_packages"),
        ("agents/specs.py", "", "agents/__init__.py is missing"),
        ("attic/__init__.py", "", "attic is an unknown package"),
        ("requirements.lock", "--index-url https://host.example/simple\n", "lock:1: a lock file"),
        ("requirements.lock", "ruff @ https://host.example/ruff.whl\n", "lock:1: a lock file"),
        (
            "tests/clients/one/requirements.lock",
            "ruff @ https://host.example/ruff.whl\n",
            "requirements.lock:1: a lock file",
        ),
        ("package-lock.json", "{}\n", "package-lock.json: requirements.lock is the only lock"),
    ],
)
def test_a_broken_rule_is_named(project: Path, path: str, code: str, message: str) -> None:
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(code)

    assert any(message in found for found in rules.violations(project))


TIMED = """
import time

def took() -> float:
    begun = time.perf_counter()
    return time.perf_counter() - begun
"""


@pytest.mark.parametrize(
    "code",
    [
        "def test_it():\n    begun = time.monotonic()\n    assert time.monotonic() - begun < 2\n",
        "def test_it():\n    assert 2 >= took()\n",
        "def test_it():\n    found = [took() for _ in range(5)]\n    assert sorted(found)[4] < 2\n",
        "async def test_it():\n    a = loop.time()\n    b = loop.time() - a\n    assert b < 1\n",
        "def test_it():\n    used = time.process_time() - ZERO\n    assert 0 < used / 5 < MOST\n",
    ],
)
def test_a_limit_on_a_measured_time_is_for_soak(project: Path, code: str) -> None:
    (project / "tests").mkdir()
    (project / "tests/test_it.py").write_text(TIMED + code)
    assert any("a measured time has a limit" in found for found in rules.violations(project))
    (project / "tests/test_it.py").write_text(TIMED + f"@pytest.mark.soak\n{code}")
    assert list(rules.violations(project)) == []


def test_hangs_may_be_ended_and_waits_have_a_least_length(project: Path) -> None:
    (project / "tests").mkdir()
    (project / "tests/test_it.py").write_text(
        f"{TIMED}def test_it():\n    deadline = time.monotonic() + 60\n"
        "    while not is_done():\n        assert time.monotonic() < deadline\n"
        "    assert took() >= 0.1\n"
    )
    assert list(rules.violations(project)) == []


def test_functions_of_the_longest_allowed_length_pass(project: Path) -> None:
    body = "    value = 1\n" * (rules.MAX_FUNCTION_LINES - 1)
    (project / "domain/rules.py").write_text(f"def long() -> None:\n{body}")

    assert list(rules.violations(project)) == []


def test_tests_may_be_long_winded(project: Path) -> None:
    (project / "tests").mkdir()
    (project / "tests/test_story.py").write_text(f"def test_story() -> None:\n{LONG_BODY}")

    assert list(rules.violations(project)) == []


def test_the_script_fails_when_a_rule_is_broken(project: Path) -> None:
    script = Path(rules.__file__)
    command = [sys.executable, str(script), str(project)]
    tidy = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    (project / "uv.lock").touch()
    broken = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert (tidy.returncode, broken.returncode) == (0, 1)
    assert "uv.lock" in broken.stderr


def test_a_folder_holds_no_more_files_than_can_be_taken_in(project: Path) -> None:
    (project / "domain/plans").mkdir()
    for number in range(rules.MAX_FOLDER_FILES):
        (project / f"domain/plans/rule_{number}.py").touch()
    (project / "domain/plans/__init__.py").touch()
    assert list(rules.violations(project)) == []

    (project / "domain/plans/one_more.py").touch()
    assert list(rules.violations(project)) == [
        "domain/plans: 13 files, at most 12 are allowed in a folder"
    ]


def test_classes_with_activities_and_private_ones_belong_to_activities(project: Path) -> None:
    (project / "activities/plans.py").write_text(
        "class Plans:\n    @activity.defn\n    async def create_plan(self) -> None: ...\n"
        "class _Row:\n    pass\n",
    )
    assert list(rules.violations(project)) == []
