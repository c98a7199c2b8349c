"""Records the demo's terminal output as an animated SVG.

Run: `python -m tests.support.recording docs/demo.svg`, or `make recording`. Lines with addresses
and waiting of more than `MAX_PAUSE_SECONDS`, are left out.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PROJECT = Path(__file__).parents[2]
COLUMNS, ROWS = 100, 26
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 8.43, 19, 14
MAX_PAUSE_SECONDS = 1.2
LAST_SCREEN_SECONDS = 8.0
# Reason: addresses are those of one run of one machine.
LEFT_OUT = "://"

STYLE = """
svg{{background:#1b1d22;border-radius:8px}}
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}}
text{{fill:#d9d9d9;white-space:pre}}
.l,.s{{animation:{seconds:.2f}s step-end infinite}}
.s{{animation-name:s}}
@media (prefers-reduced-motion:reduce){{.l,.s{{animation:none!important}}}}
"""


class Line(NamedTuple):
    """A line of the terminal, with its ANSI codes, and when it was printed."""

    seconds: float
    text: str


def record(command: Sequence[str]) -> Iterator[Line]:
    """Run a command, and yield the lines that it prints.

    Args:
        command: The command line.

    Yields:
        Lines with the seconds since the start.

    Raises:
        CalledProcessError: The command failed.
    """
    environment = os.environ | {
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "TERM": "xterm-256color",
        # Reason: without it, rich draws spinners.
        "TTY_INTERACTIVE": "0",
    }
    started_at = time.monotonic()
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            sys.stdout.write(text)
            yield Line(time.monotonic() - started_at, text.rstrip("\n"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def shortened(lines: Iterable[Line]) -> list[Line]:
    """Leave out lines with addresses, and time in which nothing is printed."""
    short: list[Line] = []
    last_at = now = 0.0
    for seconds, text in lines:
        now += min(seconds - last_at, MAX_PAUSE_SECONDS)
        last_at = seconds
        if LEFT_OUT not in text:
            short.append(Line(now, text))
    return short


def render(lines: Sequence[Line]) -> str:
    """Render lines as an SVG that shows each at its time, scrolls, and begins again.

    Args:
        lines: The lines, oldest first.

    Returns:
        The SVG. Without animation it shows the last screen.
    """
    seconds = lines[-1].seconds + LAST_SCREEN_SECONDS
    width = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN
    height = ROWS * LINE_HEIGHT + 2 * MARGIN
    scrolls = {line.seconds: max(0, index - ROWS + 1) for index, line in enumerate(lines)}
    style = STYLE.format(seconds=seconds)
    style += f"@keyframes s{{0%{{{_shift(0)}}}"
    style += "".join(f"{_percent(at, seconds)}{{{_shift(top)}}}" for at, top in scrolls.items())
    style += "}\n"
    body = ""
    for index, (at, text) in enumerate(lines):
        style += f"@keyframes l{index}{{0%{{opacity:0}}{_percent(at, seconds)}{{opacity:1}}}}\n"
        y = MARGIN + (index + 1) * LINE_HEIGHT - 5
        body += f'<text class="l" style="animation-name:l{index}" x="{MARGIN}" y="{y}">'
        body += f"{_spans(text)}</text>\n"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">\n'
        f"<title>make demo: some months of two customers</title>\n"
        f"<style>{style}</style>\n"
        f'<g class="s" style="{_shift(scrolls[lines[-1].seconds])}">\n{body}</g>\n</svg>\n'
    )


def _percent(at: float, seconds: float) -> str:
    return f"{100 * at / seconds:.2f}%"


def _shift(top: int) -> str:
    return f"transform:translateY({-top * LINE_HEIGHT}px)"


def _spans(text: str) -> str:
    """Return the parts of a line, each in its colour."""
    line = Text.from_ansi(text)
    line.truncate(COLUMNS, overflow="ellipsis")
    spans = ""
    for part, style, _ in line.render(Console(width=COLUMNS)):
        attributes = ""
        if style is not None and style.color is not None:
            attributes += f' fill="{style.color.get_truecolor(MONOKAI).hex}"'
        if style is not None and style.bold:
            attributes += ' font-weight="700"'
        if style is not None and style.dim:
            attributes += ' opacity=".6"'
        shown = escape(part.rstrip("\n"))
        spans += f"<tspan{attributes}>{shown}</tspan>" if attributes else shown
    return spans


if __name__ == "__main__":
    recorded = list(record([sys.executable, "cli.py", "demo"]))
    Path(sys.argv[1]).write_text(render(shortened(recorded)))
