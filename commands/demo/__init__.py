"""Demo of some months of two customers, on a stack of its own, with checks of every step."""

import asyncio
import signal
import time
from contextlib import closing, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

import httpx
from rich.console import Console
from rich.markup import escape

from commands.demo.checks import DemoError
from commands.demo.context import DemoContext
from commands.demo.scenario import play
from commands.demo.stack_process import DemoStack
from commands.demo.team_app import TeamApp

LOG_TAIL_LINES = 15


def run_demo(project: Path, data: Path | None, *, is_kept: bool) -> int:
    """Start a stack, run the scenario, and stop the stack.

    Args:
        project: Folder of `cli.py`.
        data: Folder of the stack; None takes a temporary one.
        is_kept: Whether the stack keeps running after the demo.

    Returns:
        Exit code: 0 if every step and check succeeded, else 1.
    """
    console = Console(highlight=False)
    folder = data or Path(mkdtemp(prefix="perdure-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    # Reason: as root, PostgreSQL runs as a user of its own, which must be able to enter the folder.
    folder.chmod(0o755)
    # Reason: asyncio's own handler of SIGINT would wait for the next await of the scenario; and
    # SIGTERM must stop the stack too, which runs in a session of its own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    team_app = TeamApp()
    stack = DemoStack(project, folder, team_app.address)
    code, is_failed = 1, True
    try:
        code = _run(console, stack, team_app)
        is_failed = False
    except KeyboardInterrupt:
        console.print("stopped")
        is_failed = False
    except (DemoError, httpx.HTTPError) as error:
        console.print(f"[red]✗ {escape(str(error) or type(error).__name__)}[/]")
        _show_log(console, stack)
    finally:
        # Reason: after an error, too, no started process may keep running.
        if not (is_kept and code == 0):
            with suppress(KeyboardInterrupt):
                stack.stop(is_removed=data is None and not is_failed)
        team_app.close()
    if is_kept and code == 0:
        stack.leave(console)
    return code


def _run(console: Console, stack: DemoStack, team_app: TeamApp) -> int:
    started_at = time.monotonic()
    with console.status("starting Temporal, PostgreSQL, Chroma, the sandboxes, worker and API"):
        facts = stack.start()
    console.print(f"[green]✓[/] the whole stack runs, after {stack.age_seconds:.0f} s")
    with closing(DemoContext(facts, stack, team_app, console)) as context:
        asyncio.run(play(context))
    seconds = time.monotonic() - started_at
    console.rule(f"[green]every step succeeded and was checked, in {seconds:.0f} s[/]")
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _show_log(console: Console, stack: DemoStack) -> None:
    console.print(f"The last lines of {stack.log}:")
    for line in stack.log_tail(LOG_TAIL_LINES):
        console.print(f"  [dim]{escape(line)}[/]")
