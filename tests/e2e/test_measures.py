"""What the whole stack costs while it waits."""

from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Measure
from tests.e2e.running import RunningStack

# As strict as 1,536 MiB were while each process counted shared pages in whole: one fresh stack had
# 1,105 MiB in that way, and 786 in this one.
LIMIT_MIB = 1_090


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def resident_mib(pid: int) -> float:
    # Reason: processes of PostgreSQL share most of their pages, which are there only once.
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def test_resident_memory(stack: RunningStack, measure: Measure) -> None:
    """Sum the resident memory of all processes; of a shared page each of them has its part."""
    sizes = [resident_mib(pid) for pid in family(stack.supervisor_pid)]
    measure(f"resident memory of {len(sizes)} processes: {sum(sizes):.0f} MiB")
    assert len(sizes) > 8
    assert sum(sizes) <= LIMIT_MIB
