"""Mypy refuses code that only its strict mode finds wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def mypy(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    planted = tmp_path / "planted.py"
    planted.write_text(code)
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--no-error-summary"),
            *("--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(tmp_path / "cache"), str(planted)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("def untyped(value):\n    return value\n", "no-untyped-def"),
        ("def bare(values: list) -> None:\n    del values\n", "type-arg"),
        ("def wrong() -> int:\n    return 'text'\n", "return-value"),
    ],
)
def test_loose_types_are_refused(tmp_path: Path, code: str, rule: str) -> None:
    refused = mypy(tmp_path, code)

    assert refused.returncode == 1
    assert f"[{rule}]" in refused.stdout


def test_typed_code_passes(tmp_path: Path) -> None:
    assert mypy(tmp_path, "def typed(value: int) -> int:\n    return value\n").returncode == 0
