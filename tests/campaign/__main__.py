"""Plays the campaign: `python -m tests.campaign --minutes 10 --seed 7`."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.campaign.campaign import Campaign, Outcome, make_plans
from tests.campaign.life import Patience
from tests.campaign.outside import Json, Outside
from tests.campaign.plan import Planner, Spec
from tests.e2e.running import RunningStack

LONGEST_MINUTES = 40.0
AT_ONCE = 24


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=LONGEST_MINUTES - 8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="play one lifecycle, as a failure printed it")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="lifecycles side by side")
    parser.add_argument(
        "--patience",
        type=float,
        default=Patience().calm,
        help="for how many seconds a life may take to be as it must, once Stripe is well",
    )
    parser.add_argument("--stack", type=Path, help="the stack.json of a stack that runs")
    return parser.parse_args()


@contextmanager
def running(stack: Path | None) -> Iterator[Json]:
    """Give the facts of a stack: of one that runs, or of one of our own."""
    if stack is not None:
        yield json.loads(stack.read_text())
        return
    # Reason: the limit protects Stripe; here it would only make all of it slow.
    os.environ.setdefault("STRIPE__CALLS_PER_SECOND", "1000")
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        own = RunningStack(Path(folder))
        try:
            own.wait_until_ready()
            yield own.facts
            own.stop()
        finally:
            own.destroy()


async def campaign(given: argparse.Namespace, facts: Json) -> Outcome:
    """Play it, with a bar."""
    console = Console(stderr=True)
    outside = Outside(facts)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )  # fmt: skip
    begun = time.monotonic()
    seconds = given.minutes * 60
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("campaign", total=seconds)

        def advance(outcome: Outcome) -> None:
            said = (
                f"{outcome.life_count} lifecycles, {len(outcome.covered)} cells,"
                f" {sum(len(v.found) for v in outcome.violations)} violated"
            )
            bar.update(task, completed=time.monotonic() - begun, description=said)
            if not console.is_terminal and outcome.life_count % 20 == 0:
                _tell(said)

        played = Campaign(
            outside,
            await make_plans(outside),
            patience=Patience(calm=given.patience),
            tell=_tell,
            advance=advance,
        )
        outcome = played.outcome
        if given.only:
            await played.play(iter([Spec.loaded(given.only)]), 1, begun + 3_600)
        else:
            planner = Planner(given.seed, outcome.covered, outcome.reached)
            specs = chain(planner.first(), planner.specs())
            await played.play(specs, given.at_once, begun + seconds)
            await played.end()
    await outside.close()
    return outcome


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Play the campaign, and say what it came to."""
    given = arguments()
    # Reason: whoever ends the campaign ends its stack too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(given.stack) as facts:
        outcome = asyncio.run(campaign(given, facts))
    _tell(outcome.summary())
    _tell(outcome.last_line)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
