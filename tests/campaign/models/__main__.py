"""Plays the campaign for models: `python -m tests.campaign.models --minutes 10 --seed 7`."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.campaign.models.campaign import Campaign, Outcome
from tests.campaign.models.oddities import PROVIDERS
from tests.campaign.models.plan import Planner, Spec
from tests.campaign.models.stand import PATIENCE_SECONDS, Stand
from tests.campaign.outside import Json
from tests.e2e.running import RunningStack

MINUTES = 20.0
WAVE_SIZE = 20
_TELL_EVERY_SECONDS = 60


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.models", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="play these lives, as a failure printed them")
    parser.add_argument("--wave", type=int, default=WAVE_SIZE, help="lives side by side in a stack")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="for how many seconds a run may go on",
    )
    parser.add_argument(
        "--stack",
        action="append",
        default=[],
        metavar="PROVIDER=PATH",
        help="the stack.json of a stack that runs, and the provider that it was given",
    )
    return parser.parse_args()


@contextmanager
def running(provider: str) -> Iterator[RunningStack]:
    """Run a stack whose worker speaks to a provider."""
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        before = os.environ.get("LLM__PROVIDER")
        os.environ["LLM__PROVIDER"] = provider
        own = RunningStack(Path(folder))
        if before is None:
            del os.environ["LLM__PROVIDER"]
        else:
            os.environ["LLM__PROVIDER"] = before
        try:
            own.wait_until_ready()
            yield own
            own.stop()
        finally:
            own.destroy()


def _read(path: Path) -> Json:
    facts: Json = json.loads(path.read_text())
    return facts


def stands(given: argparse.Namespace, providers: Sequence[str], stack: ExitStack) -> list[Stand]:
    """Return the stacks to play in: those that run, else some of our own."""
    known = dict(pair.split("=", 1) for pair in given.stack)
    found = []
    for provider in providers:
        if known:
            if provider in known:
                facts = partial(_read, Path(known[provider]))
                found.append(Stand(provider, facts, given.patience))
            continue
        own = stack.enter_context(running(provider))
        found.append(Stand(provider, partial(getattr, own, "facts"), given.patience))
    return found


def specs_of(text: str) -> list[Spec]:
    """Read what a failure printed: one life, or a list of them."""
    parts = json.loads(text)
    listed = parts if isinstance(parts, list) else [parts]
    return [Spec.loaded(json.dumps(each)) for each in listed]


async def play(given: argparse.Namespace, stands: Sequence[Stand]) -> Outcome:
    """Play it, with a bar."""
    console, outcome = Console(stderr=True), Outcome()
    only = specs_of(given.only) if given.only else []
    end = time.monotonic() + given.minutes * 60
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )  # fmt: skip

    async def at(stand: Stand) -> None:
        await stand.prepare((len(only) or given.wave) + 1)
        campaign = Campaign(stand, outcome, _tell)
        if only:
            mine = [spec for spec in only if spec.provider == stand.provider]
            await campaign.play([mine] if mine else [], end + 600)
        else:
            planner = Planner(stand.provider, given.seed)
            await campaign.play(planner.waves(given.wave), end)

    with Progress(*columns, console=console) as bar:
        task = bar.add_task("campaign", total=given.minutes * 60)

        async def advance() -> None:
            for second in count():
                said = f"{outcome.life_count} lives, {outcome.last_line}"
                left = max(0.0, end - time.monotonic())
                bar.update(task, completed=given.minutes * 60 - left, description=said)
                if not console.is_terminal and second % _TELL_EVERY_SECONDS == 0:
                    _tell(said)
                await asyncio.sleep(1)

        showing = asyncio.create_task(advance())
        try:
            await asyncio.gather(*(at(stand) for stand in stands))
        finally:
            showing.cancel()
            for stand in stands:
                await stand.close()
    return outcome


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Play the campaign, and say what it came to."""
    given = arguments()
    # Reason: whoever ends the campaign ends its stacks too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    only = specs_of(given.only) if given.only else []
    providers = [p for p in PROVIDERS if not only or p in {spec.provider for spec in only}]
    with ExitStack() as stack:
        outcome = asyncio.run(play(given, stands(given, providers, stack)))
    _tell(outcome.summary())
    _tell(outcome.last_line)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
