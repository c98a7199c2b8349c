"""Shell commands in the pages for people: README, docs and the rules for contributors."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import PROJECT

PAGES = sorted(
    [
        *(PROJECT / name for name in ("README.md", "AGENTS.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(PROJECT / "docs").glob("*.md"),
    ]
)
# What a line of the shell begins with. Blocks without such a line are data, code or a picture.
PROGRAMS = (
    r"\.|alembic|awk|cat|cd|chmod|cp|curl|docker|echo|export|for|git|grep|gunzip|gzip|kubectl|ls|make|mkdir|mv|"
    r"node|npm|npx|openssl|pg_dump|pg_dumpall|pip|psql|python3?|rm|sed|sh|bash|sleep|source|stripe|sudo|"
    r"temporal|uv|uvicorn|while"
)
COMMAND = re.compile(rf"(?:\$ |[A-Z_]+=\S*\(?)?(?:{PROGRAMS})(?: |$)")
MARK = re.compile(r"not run: \S+")
# A span of code, and what follows it in its line.
SPAN = re.compile(r"`([^`]+)`([^`|]{0,80})")
FENCE = "```"


class Inline(NamedTuple):
    """A command within a sentence."""

    page: str
    command: str
    is_marked: bool


def blocks(text: str) -> Iterator[list[str]]:
    """Yield the code blocks of a page, fenced or indented, without their margin."""
    block: list[str] = []
    is_fenced = False
    before = ""
    for line in [*text.split("\n"), ""]:
        if line.strip().startswith(FENCE):
            is_fenced = not is_fenced
            if not is_fenced and block:
                yield block
            block = []
        elif is_fenced or (line.startswith("    ") and (block or not before.strip())):
            block.append(line)
        elif block and line.strip():
            yield _without_margin(block)
            block = []
        elif block:
            block.append("")
        before = line
    if block:
        yield _without_margin(block)


def scripts(page: Path) -> list[str]:
    """Return the shell blocks of a page, without the commands that are marked as not run."""
    found = []
    for block in blocks(page.read_text()):
        is_skipped = block[0].startswith("#") and MARK.search(block[0])
        if is_skipped or not any(COMMAND.match(line) for line in block):
            continue
        lines = [line for line in block if not MARK.search(line)]
        if any(COMMAND.match(line) for line in lines):
            found.append("\n".join(lines))
    return found


def inline_commands() -> list[Inline]:
    """Return the commands within the sentences of all pages."""
    return [
        Inline(page.name, match[1], bool(MARK.search(match[2])))
        for page in PAGES
        for line in page.read_text().split("\n")
        if not line.startswith("    ")
        for match in SPAN.finditer(line)
        if COMMAND.match(match[1]) and " " in match[1] and not match[1].startswith(".")
    ]


def _without_margin(block: list[str]) -> list[str]:
    while block and not block[-1]:
        block.pop()
    margin = min(len(line) - len(line.lstrip()) for line in block if line)
    return [line[margin:] for line in block]
