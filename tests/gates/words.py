"""Finds identifiers and phrases that are not used any more.

Run: `python tests/gates/words.py [ROOT]`. The script prints each use with its place and what is
said instead, and exits with 1 if there is any.
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

LIST = "tests/gates/words.toml"
SUFFIXES = frozenset({".py", ".md", ".toml", ".yml"})
EXEMPT = (
    "CHANGELOG.md",
    "docs/adr/",
    "sandbox/",
    "tests/gates/test_words.py",
    "tests/replay/histories/",
    "tests/sandbox/",
    LIST,
)
# Folders of tools: packages, caches, environments.
FOREIGN = re.compile(r"\.|node_modules$|__pycache__$")


def uses(root: Path) -> Iterator[str]:
    """Yield each use of a word that is not used any more, with its place."""
    words = tomllib.loads((root / LIST).read_text())
    identifiers: dict[str, str] = words["identifiers"]
    phrases: dict[str, str] = words["phrases"]
    patterns = (
        (re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, identifiers))})(?!\w)"), identifiers),
        (re.compile("|".join(map(re.escape, phrases)), re.IGNORECASE), phrases),
    )
    for path in _files(root):
        text = (root / path).read_text()
        for pattern, instead in patterns:
            for found in pattern.finditer(text):
                number = text.count("\n", 0, found.start()) + 1
                new = instead.get(found[0]) or instead[found[0].lower()]
                yield f"{path}:{number}: say {new}, not {found[0]}"


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not FOREIGN.match(name))
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(root).as_posix()
            if Path(name).suffix in SUFFIXES and not path.startswith(EXEMPT):
                yield path


if __name__ == "__main__":
    found = list(uses(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    sys.exit("\n".join(found) or 0)
