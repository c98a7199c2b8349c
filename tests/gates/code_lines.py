"""Counts code lines by package, and files by folder.

Run: `python -m tests.gates.code_lines [ROOT]`. Docstrings, comments and blank lines do not count.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

from tests.gates.rules import DIVIDED, code_lines, sources

# Not the product: the outside world, the embedded stack, and what is not shipped.
APART = ("sandbox", "stack", "tests", "migrations", "deploy", "examples")


def count_by_package(root: Path) -> tuple[Counter[str], Counter[str]]:
    """Count code lines and files of each package, and of each module beside them.

    Args:
        root: The project's folder.

    Returns:
        Code lines and files, by package.
    """
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in sources(root):
        text = (root / path).read_text()
        lines[path.parts[0]] += code_lines(ast.parse(text), text.split("\n"))
        files[path.parts[0]] += path.name != "__init__.py"
    return lines, files


def count_by_folder(root: Path) -> Counter[str]:
    """Count the files directly in each folder of the layers that are divided into areas."""
    return Counter(
        path.parent.as_posix()
        for path in sources(root)
        if path.parts[0] in DIVIDED and path.name != "__init__.py"
    )


def report(root: Path) -> str:
    """Return both tables as text."""
    lines, files = count_by_package(root)
    product = sorted(set(lines) - set(APART))
    rows = [("package", "code lines", "files")]
    rows += [(name, f"{lines[name]:,}", f"{files[name]}") for name in product]
    line_count, file_count = (sum(counts[name] for name in product) for counts in (lines, files))
    rows.append(("product", f"{line_count:,}", f"{file_count}"))
    rows += [(name, f"{lines[name]:,}", f"{files[name]}") for name in APART if lines[name]]
    text = "".join(f"{name:<24}{count:>12}{files_there:>8}\n" for name, count, files_there in rows)
    text += "\nfiles directly in a folder\n"
    folders = count_by_folder(root).most_common()
    return text + "".join(f"{folder:<36}{count:>8}\n" for folder, count in folders)


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
