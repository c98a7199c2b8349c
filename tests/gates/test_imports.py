"""Each contract of import-linter finds a forbidden import that is added to empty packages."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# Contract id, and the files that break it with their code: imports upward, sideways and indirect.
PLANTED = [
    ("layers", {"workflows/planted.py": "import api"}),
    ("layers", {"domain/planted.py": "import database"}),
    ("layers", {"activities/planted.py": "from workflows import planted"}),
    ("layers", {"adapters/planted.py": "import activities"}),
    ("layers", {"adapters/planted.py": "import database"}),
    ("layers", {"database/planted.py": "import adapters"}),
    ("layers", {"observability/planted.py": "import adapters"}),
    ("layers", {"observability/planted.py": "import domain"}),
    ("pure", {"domain/planted.py": "import sqlalchemy"}),
    ("sdk-free-routes", {"api/planted.py": "from sqlalchemy import select"}),
    ("sdk-free-routes", {"api/planted.py": "import stripe"}),
    ("orchestration", {"workflows/planted.py": "import database"}),
    ("orchestration", {"workflows/planted.py": "import httpx"}),
    ("stripe-sdk", {"activities/planted.py": "import stripe"}),
    ("sandbox", {"sandbox/planted.py": "import domain"}),
    ("sandbox", {"sandbox/planted.py": "from config import Settings"}),
    ("edges", {"api/planted.py": "import stack"}),
    ("edges", {"activities/planted.py": "import worker"}),
    ("edges", {"workflows/planted.py": "import commands"}),
    ("layers", {"workflows/planted.py": "import bootstrap"}),
    ("areas", {"domain/accounts.py": "import domain.plans", "domain/plans.py": ""}),
    ("areas", {"database/payments.py": "import database.webhooks", "database/webhooks.py": ""}),
    ("areas", {"services/payments.py": "import services.subscriptions"}),
    ("areas", {"workflows/knowledge.py": "import workflows.subscriptions"}),
    ("activity-areas", {"activities/payments/planted.py": "import activities.subscriptions"}),
    ("api-needs-no-activity", {"api/planted.py": "import activities"}),
    ("adapters-apart", {"adapters/stripe/planted.py": "import adapters.llm"}),
    ("no-sandbox", {"activities/planted.py": "from sandbox import stripe"}),
    (
        "no-sandbox",
        {"api/planted.py": "from stack import planted", "stack/planted.py": "import sandbox"},
    ),
]


@pytest.fixture
def empty_project(tmp_path: Path) -> Path:
    """Make a project with empty packages and the contracts of this project."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in LINTER["root_packages"]:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    # Reason: import-linter refuses a contract that names modules which do not exist.
    named = {name for each in LINTER["contracts"] for name in each.get("modules", ())}
    named |= {"services.subscriptions", "workflows.subscriptions"}
    for name in named:
        folder = tmp_path / name.replace(".", "/")
        folder.mkdir()
        (folder / "__init__.py").touch()
    return tmp_path


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    command = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; "
        "lint_imports_command(['--no-cache', '--no-logo'])"
    )
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_empty_project_keeps_every_contract(empty_project: Path) -> None:
    linted = lint_imports(empty_project)

    assert linted.returncode == 0, linted.stdout
    assert f"{len(LINTER['contracts'])} kept, 0 broken" in linted.stdout


@pytest.mark.parametrize(("contract_id", "planted"), PLANTED)
def test_a_forbidden_import_breaks_its_contract(
    empty_project: Path, contract_id: str, planted: dict[str, str]
) -> None:
    for path, code in planted.items():
        (empty_project / path).write_text(f"{code}\n")

    linted = lint_imports(empty_project)

    [name] = [each["name"] for each in LINTER["contracts"] if each["id"] == contract_id]
    assert linted.returncode == 1
    assert f"{name} BROKEN" in linted.stdout


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract_id for contract_id, _ in PLANTED} == {
        each["id"] for each in LINTER["contracts"]
    }


def test_agents_may_be_built_between_activities_and_domain(empty_project: Path) -> None:
    pyproject = empty_project / "pyproject.toml"
    text = pyproject.read_text()
    if '"agents"' not in text.partition("root_packages = [")[2].partition("]")[0]:
        pyproject.write_text(text.replace("root_packages = [", 'root_packages = ["agents", '))
    (empty_project / "agents").mkdir(exist_ok=True)
    (empty_project / "agents/__init__.py").write_text("import domain\n")
    (empty_project / "workflows/planted.py").write_text("import agents\n")
    assert lint_imports(empty_project).returncode == 0

    (empty_project / "agents/planted.py").write_text("import workflows\n")
    assert "Imports go inward only BROKEN" in lint_imports(empty_project).stdout
