"""Reads how much CPU time and memory the services of a running stack use."""

from collections.abc import Mapping

import psutil

from tests.e2e.running import RunningStack

SERVICES = ("worker", "temporal", "api", "postgres", "chroma", "stripe", "llm")


def cpu_seconds(stack: RunningStack) -> dict[str, float]:
    """Return the CPU time of each service since its start, in seconds.

    Children are counted, also those that have ended, such as PostgreSQL's backends.
    """
    pids = stack.facts["pids"]
    return {name: sum(_cpu_of(pid) for pid in pids.get(name, ())) for name in SERVICES}


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU time that each service used between two readings, in seconds."""
    return {name: after[name] - before[name] for name in before}


def memory_kb(pid: int) -> float:
    """Return the memory that only this process holds, in KB."""
    return float(psutil.Process(pid).memory_full_info().uss) / 1024


def _cpu_of(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    own = process.cpu_times()
    return float(total + own.children_user + own.children_system)
