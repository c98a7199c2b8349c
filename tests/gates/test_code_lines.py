"""The counter of code lines leaves out docstrings, comments and blank lines."""

from pathlib import Path

from tests.gates.code_lines import count_by_folder, count_by_package, report

MODULE = '''"""What this is.

More of it.
"""

# A comment.
import os  # counts


class Rule:
    """A rule."""

    name = "rule"

    def apply(self) -> str:
        """Apply it.

        Returns:
            The folder.
        """
        # Reason: a comment.
        return os.getcwd()
'''


def test_code_lines_and_files_by_package_and_folder(tmp_path: Path) -> None:
    for name in ("domain/rules.py", "domain/payments/rules.py", "tests/test_rules.py", "worker.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(MODULE)
    (tmp_path / "domain/payments/__init__.py").write_text('"""Payments."""\n')
    lines, files = count_by_package(tmp_path)
    assert lines == {"domain": 10, "tests": 5, "worker.py": 5}
    assert files == {"domain": 2, "tests": 1, "worker.py": 1}
    assert count_by_folder(tmp_path) == {"domain": 1, "domain/payments": 1}
    assert "product                           15       3\n" in report(tmp_path)
