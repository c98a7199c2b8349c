"""The demo: two months of a customer, played on a stack of its own and checked on the way."""

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

LOG_TAIL_LINES = 15


def run_demo(project: Path, data: Path | None, *, is_kept: bool) -> int:
    """Start a stack, play the story, and stop what was started.

    Args:
        project: Where `cli.py` is.
        data: Folder of the stack; None takes a temporary one.
        is_kept: Whether the stack goes on running afterwards.

    Returns:
        0 if all of it really happened, else 1.
    """
    console = Console(highlight=False)
    folder = data or Path(mkdtemp(prefix="perdure-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Reason: as root, PostgreSQL runs as its own user and must get in.
    # Reason: asyncio replaces Python's own handler, and would then wait for the story's next await;
    # SIGTERM must not leave the stack behind either, which has a session of its own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    stack = DemoStack(project, folder)
    code, is_of_interest = 1, True
    try:
        code = _perform(console, stack)
        is_of_interest = False
    except KeyboardInterrupt:
        console.print("stopped, as asked")
        is_of_interest = False
    except (DemoError, httpx.HTTPError) as error:
        console.print(f"[red]✗ {escape(str(error) or type(error).__name__)}[/]")
        _show_log(console, stack)
    finally:
        # Reason: whatever went wrong, nothing that was started may go on unseen.
        if not (is_kept and code == 0):
            with suppress(KeyboardInterrupt):
                stack.stop(is_removed=data is None and not is_of_interest)
    if is_kept and code == 0:
        stack.leave(console)
    return code


def _perform(console: Console, stack: DemoStack) -> int:
    began = time.monotonic()
    with console.status("starting Temporal, PostgreSQL, Chroma, the stand-ins, worker, API"):
        facts = stack.start()
    console.print(f"[green]✓[/] the whole stack runs, after {stack.age_seconds:.0f} s")
    with closing(DemoContext(facts, stack, console)) as context:
        asyncio.run(play(context))
    console.rule(f"[green]all of it really happened, in {time.monotonic() - began:.0f} s[/]")
    return 0


def _leave(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _show_log(console: Console, stack: DemoStack) -> None:
    console.print(f"The end of {stack.log}:")
    for line in stack.log_tail(LOG_TAIL_LINES):
        console.print(f"  [dim]{escape(line)}[/]")
