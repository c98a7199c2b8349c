"""Measures what the imports of worker and API cost, and what loading `chromadb` adds.

Run: `python -m tests.gates.imports_cost [folder of a checkout]`. Prints medians of fresh processes:
seconds of CPU time, which other load does not change, and resident memory.
"""

import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 5
PROCESSES = {
    "worker": "import worker",
    "worker, with chromadb": "import worker, chromadb",
    "API": "import api.__main__, api.app",
    "API, with chromadb": "import api.__main__, api.app, chromadb",
}
MEASURE = """
import resource, sys, time
started = time.process_time()
{imports}
seconds = time.process_time() - started
pages = int(open("/proc/self/statm").read().split()[1])
print(seconds, pages * resource.getpagesize() / 1e6, "chromadb" in sys.modules)
"""


def measure(imports: str, root: Path) -> tuple[float, float, bool]:
    """Return CPU seconds, resident megabytes, and whether `chromadb` is loaded afterwards."""
    output = subprocess.run(
        [sys.executable, "-c", MEASURE.format(imports=imports)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    seconds, megabytes, is_loaded = output.split()
    return float(seconds), float(megabytes), is_loaded == "True"


def main() -> None:
    """Print one line for each process."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    for name, imports in PROCESSES.items():
        measure(imports, root)  # compiles what is new
        rounds = [measure(imports, root) for _ in range(ROUNDS)]
        seconds, megabytes, is_loaded = zip(*rounds, strict=True)
        loaded = "loaded" if any(is_loaded) else "not loaded"
        sys.stdout.write(
            f"{name:22} {statistics.median(seconds):5.2f} s"
            f" {statistics.median(megabytes):6.1f} MB  chromadb {loaded}\n"
        )


if __name__ == "__main__":
    main()
