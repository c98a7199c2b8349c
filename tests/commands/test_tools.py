"""`tools check` says what is wrong with the files of tools, and needs no stack."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

GOOD = """
description = "Find orders."
method = "GET"
url = "https://shop.example/orders"
headers = { Authorization = "Bearer ${env:SHOP_TOKEN}" }
"""


def check(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "cli.py", "tools", "check", "--folder", str(folder)],
        cwd=PROJECT,
        env={**known, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_all_files_are_checked(tmp_path: Path) -> None:
    (tmp_path / "find_orders.toml").write_text(GOOD)
    right = check(tmp_path, SHOP_TOKEN="secret-of-the-shop")
    assert (right.returncode, right.stderr) == (0, "")
    assert right.stdout == "find_orders: reads only\n1 tools, all right\n"

    (tmp_path / "ask_user.toml").write_text(GOOD)
    (tmp_path / "order.toml").write_text(GOOD.replace("GET", "BREW"))
    wrong = check(tmp_path, SHOP_TOKEN="secret-of-the-shop")
    assert wrong.returncode == 1
    first, second = wrong.stderr.splitlines()
    assert first.startswith("error: order.toml: method: Input should be ")
    assert second == "error: ask_user.toml: there is a tool of this name already"
    assert "secret-of-the-shop" not in wrong.stdout + wrong.stderr

    missing = check(tmp_path)
    assert "find_orders.toml: headers.Authorization: the variable SHOP_TOKEN is" in missing.stderr
