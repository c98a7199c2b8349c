"""Runs the bench: `python -m tests.bench runs starts --before ../old-tree`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.dbos import is_installed, measure_dbos
from tests.bench.figures import Figures, Table
from tests.bench.runs import Crowd, wait_until_back
from tests.bench.sides import Side, running_sides
from tests.bench.starts import Sellers
from tests.bench.webhooks import hooks_of, measure_bare, measure_naive, measure_ours

RESTING_COUNT = 1_000
Measure = Callable[[], Figures]


def _runs(side: Side) -> Measure:
    crowd = Crowd(side)
    crowd.ask_at_once(1)  # the first requests load modules
    return lambda: crowd.ask_alone() | crowd.ask_at_once()


def _kills(side: Side) -> Measure:
    crowd = Crowd(side)
    crowd.ask_at_once(1)

    def measure() -> Figures:
        pid = side.stack.pid("worker")
        figures = crowd.ask_through_a_kill()
        wait_until_back(side, pid)
        crowd.ask_at_once(1)
        return figures

    return measure


def _starts(side: Side) -> Measure:
    sellers = Sellers(side)
    sellers.start_at_once(5)
    return lambda: sellers.start_alone() | sellers.start_at_once()


def _rest(side: Side) -> Measure:
    return lambda: Sellers(side).rest(RESTING_COUNT)


def _webhooks(side: Side) -> Measure:
    hooks = hooks_of(side)
    return lambda: measure_ours(hooks)


def _naive_webhooks(side: Side) -> Measure:
    hooks = hooks_of(side)
    return lambda: measure_naive(hooks)


def _bare_webhooks(side: Side) -> Measure:
    hooks = hooks_of(side)
    return lambda: measure_bare(hooks)


def _dbos(side: Side) -> Measure:
    if not is_installed():
        sys.stderr.write("DBOS is not measured: `make bench` installs it\n")
        return dict
    return lambda: measure_dbos(side)


MEASURES: Mapping[str, Callable[[Side], Measure]] = {
    "runs": _runs,
    "starts": _starts,
    "kills": _kills,
    "rest": _rest,
    "webhooks": _webhooks,
}
# What is measured beside a measure, on the stack of this tree.
NEIGHBOURS: Mapping[str, Mapping[str, Callable[[Side], Measure]]] = {
    "runs": {"dbos": _dbos},
    "webhooks": {"naive": _naive_webhooks, "bare": _bare_webhooks},
}
ONCE = frozenset({"rest"})
# What `--sample` measures, once each.
SAMPLE = ("runs", "webhooks")


def main() -> None:
    """Measure what was asked for, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("measures", nargs="*", choices=[[], *MEASURES], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="folder with the files of another commit")
    parser.add_argument(
        "--sample", action="store_true", help="one round of a few measures: prints ratios only"
    )
    given = parser.parse_args()
    if given.sample:
        given.measures, given.rounds = SAMPLE, 1
    table = Table()
    try:
        _fill(table, given.measures or [*MEASURES], given.rounds, given.before)
    finally:
        # Reason: what was measured before an error is worth reading, too.
        texts = [table.as_ratios()] if given.sample else [table.as_text(), table.as_json()]
        sys.stdout.writelines(f"{text}\n" for text in texts)
    sys.stdout.flush()
    # Reason: processes that ran Temporal's SDK sometimes abort when the interpreter exits.
    os._exit(0)


def _fill(table: Table, names: Sequence[str], round_count: int, before: Path | None) -> None:
    """Measure each side in turn, round by round."""
    with running_sides(before) as sides:
        for name in names:
            measures = {side.name: MEASURES[name](side) for side in sides}
            for neighbour, make in NEIGHBOURS.get(name, {}).items():
                measures[neighbour] = make(sides[-1])
            for number in range(1 if name in ONCE else round_count):
                for side, measure in measures.items():
                    sys.stderr.write(f"{name}, round {number + 1}, {side}\n")
                    table.add(side, measure())


if __name__ == "__main__":
    main()
