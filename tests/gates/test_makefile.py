"""The Makefile prints one clear line if something is missing; the container checks can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.gates.rules import PACKAGES

ROOT = Path(__file__).parents[2]


# Reason: `make test VENV=...` passes its variables to every make that a test starts.
ENVIRON = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "MFLAGS", "VENV", "PYTHON"))
}


def run(
    *command: str, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=env or ENVIRON,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy the files that `make containers` needs, with a .venv that is marked as installed."""
    for name in ("Makefile", "Dockerfile", "docker-compose.yml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copy(ROOT / ".hadolint.yaml", tmp_path)
    shutil.copytree(ROOT / "tests/gates/planted", tmp_path / "tests/gates/planted")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.prefix) / "bin")
    (tmp_path / ".venv/.installed").touch()
    return tmp_path


@pytest.fixture
def path_without_npm(tmp_path: Path) -> str:
    """Make a PATH with only the tools that the recipes need."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "awk", "touch"):
        tool = shutil.which(name)
        assert tool
        (tools / name).symlink_to(tool)
    return str(tools)


def test_a_python_that_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()

    refused = run("make", "install", f"PYTHON={old}", cwd=tmp_path)

    assert refused.returncode == 2
    assert "error: Python 3.11, 3.12 or 3.13 is needed" in refused.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_tools_look_into_every_room() -> None:
    [packages] = re.findall(r"^PACKAGES := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(packages.split()) == {*PACKAGES, "migrations", "deploy"}


def test_a_second_install_does_nothing(clone: Path) -> None:
    again = run("make", "install", cwd=clone)

    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout


def test_help_is_the_default_and_lists_the_targets() -> None:
    shown = run("make").stdout

    for target in ("install", "up", "demo", "test", "test-sandbox", "check", "soak", "lock"):
        assert f"make {target} " in shown


@pytest.mark.parametrize("target", ["containers", "stripe-cli", "better-auth", "standard-webhooks"])
def test_without_npm_the_rest_is_still_checked(
    clone: Path, path_without_npm: str, target: str
) -> None:
    checked = run("make", target, cwd=clone, env={"PATH": path_without_npm})

    assert checked.returncode == 0, checked.stderr
    assert "npm is not here" in checked.stdout


@pytest.mark.parametrize(
    ("target", "tool"),
    [
        ("containers", "dclint"),
        ("stripe-cli", "Stripe's CLI"),
        ("better-auth", "Better Auth"),
        ("standard-webhooks", "Standard Webhooks"),
    ],
)
def test_without_npm_ci_fails(clone: Path, path_without_npm: str, target: str, tool: str) -> None:
    checked = run("make", target, cwd=clone, env={"PATH": path_without_npm, "CI": "true"})

    assert checked.returncode != 0
    assert f"npm is needed for {tool}" in checked.stderr


def test_others_clients_are_pinned() -> None:
    clients = ROOT / "tests" / "clients"
    package = json.loads((clients / "better_auth" / "package.json").read_text())
    versions = [*package["dependencies"].values(), *package["overrides"]["better-call"].values()]
    webhooks = json.loads((clients / "standard_webhooks" / "package.json").read_text())
    versions += webhooks["dependencies"].values()
    assert [version for version in versions if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    for client in ("agentdojo", "djstripe"):
        required = (clients / client / "requirements.in").read_text().split()
        locked = (clients / client / "requirements.lock").read_text()
        assert all(f"{name} \\\n    --hash=sha256:" in locked for name in required)


def test_a_dclint_that_overlooks_the_planted_file_is_noticed(
    clone: Path, path_without_npm: str
) -> None:
    sleepy = clone / "node_modules/dclint/bin/dclint.cjs"
    sleepy.parent.mkdir(parents=True)
    sleepy.touch()
    for name in ("npm", "node"):
        tool = Path(path_without_npm) / name
        tool.write_text("#!/bin/sh\nexit 0\n")
        tool.chmod(0o755)

    checked = run("make", "containers", cwd=clone, env={"PATH": path_without_npm})

    assert checked.returncode != 0
    assert "dclint overlooks the planted file" in checked.stderr


def test_a_bad_dockerfile_is_refused(clone: Path, path_without_npm: str) -> None:
    shutil.copy(ROOT / "tests/gates/planted/Dockerfile", clone / "Dockerfile")

    checked = run("make", "containers", cwd=clone, env={"PATH": path_without_npm})

    assert checked.returncode != 0
    assert "DL3007" in checked.stdout  # the tag latest


def test_ci_runs_the_check_first_and_the_tests_last() -> None:
    script = ROOT / ".ci/run"
    commands = [line for line in script.read_text().splitlines() if line.startswith("make ")]

    assert os.access(script, os.X_OK)
    assert commands[:2] == ["make install", "make check"]
    assert commands[-1] == 'make test ARGS="--durations=15"'


def test_the_sandbox_is_tested_apart_and_with_all_tests() -> None:
    apart = run("make", "--dry-run", "test-sandbox", "ARGS=-k x").stdout.strip().splitlines()[-1]
    everything = run("make", "--dry-run", "test", "ARGS=-k x").stdout.strip().splitlines()[-1]

    assert apart.replace(" tests/sandbox ", " ") == everything
    assert apart != everything


def test_hooks_call_targets_of_the_makefile_only() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert [hook["entry"] for hook in hooks] == [f"make {hook['id']}" for hook in hooks]
    assert {"format", "lint", "types", "rules"} <= {hook["id"] for hook in hooks} <= targets
