"""Puts faults back one by one, and plays against each: `python -m tests.campaign.mutants [NAME…]`.

A mutant is a patch beside this file. Its text before the first `diff --git` says what it puts back,
and may have these lines:

    Campaign: models           which campaign plays against it (else the one for billing)
    Play: {"story": …}         the lifecycle to play, as a failure prints it (else two minutes)
    Caught-by: INVARIANT       which invariant has to see it (else any)
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
_MINUTES, _SEED, _PATIENCE = "2", "11", "30"


@dataclass(frozen=True)
class Mutant:
    """A fault that was mended once."""

    path: Path

    @property
    def name(self) -> str:
        """Return the file's name without its end."""
        return self.path.stem

    @property
    def module(self) -> str:
        """Return the campaign that plays against it."""
        name = self.line("Campaign")
        return "tests.campaign" if name is None else f"tests.campaign.{name}"

    def line(self, name: str) -> str | None:
        """Return what a line of its head says."""
        head = self.path.read_text().partition("diff --git")[0]
        found = re.search(rf"^{name}: (.+)$", head, re.MULTILINE)
        return found.group(1) if found else None

    def caught_by(self, said: str) -> list[str]:
        """Return the invariants that a campaign's output names, of those that count."""
        names = re.findall(r"^  (\w+): ", said, re.MULTILINE)
        wanted = self.line("Caught-by")
        return sorted({name for name in names if wanted in (None, name) and name != "again"})


def mutants(names: list[str]) -> Iterator[Mutant]:
    """Yield all mutants, or those that are named."""
    for path in sorted(HERE.glob("*.patch")):
        if not names or path.stem in names:
            yield Mutant(path)


def apply(mutant: Mutant, folder: Path, *options: str) -> None:
    """Put a fault back in a copy of the project.

    Raises:
        subprocess.CalledProcessError: If the patch does not fit.
    """
    command = ["git", "apply", *options, str(mutant.path)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def play(mutant: Mutant) -> list[str]:
    """Play against a mutant, and return the invariants that saw it."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        list_files = ["git", "ls-files"]
        files = subprocess.check_output(list_files, cwd=PROJECT, text=True).split()
        for file in files:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((PROJECT / file).read_bytes())
        apply(mutant, folder)
        only = mutant.line("Play")
        how = ["--only", only] if only else ["--minutes", _MINUTES, "--seed", _SEED]
        command = [sys.executable, "-m", mutant.module, "--patience", _PATIENCE, *how]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
        return mutant.caught_by(done.stdout) if done.returncode == 1 else []


def main() -> int:
    """Play against all mutants, and say which were seen."""
    missed = 0
    for mutant in mutants(sys.argv[1:]):
        seen = play(mutant)
        missed += not seen
        sys.stdout.write(f"{mutant.name}: {', '.join(seen) or 'MISSED'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"mutants: {missed} missed\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
