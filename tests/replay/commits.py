"""Replays recorded histories at each commit of a range, in a worktree of its own.

Run: `python -m tests.replay.commits A^..B [--histories COMMIT]`. Each commit replays the histories
that it holds itself, or those of the commit that is named. Exit code 1 if one does not replay.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).parent.parent.parent
HISTORIES = "tests/replay/histories"
LIMIT_SECONDS = 600


def git(*arguments: str, folder: Path = PROJECT) -> str:
    """Return what git prints."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def replay_at(commit: str, histories: str | None) -> tuple[bool, str]:
    """Replay histories with the code of a commit.

    Args:
        commit: Commit whose code is run.
        histories: Commit whose histories are replayed; None takes those of `commit`.

    Returns:
        Whether all of them replay, and the last line of pytest.
    """
    with TemporaryDirectory(prefix="perdure-replay-") as folder:
        tree = Path(folder, "tree")
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            if histories is not None:
                shutil.rmtree(tree / HISTORIES)
                git("checkout", histories, "--", HISTORIES, folder=tree)
            options = ["-q", "-k", "test_replays", "-p", "no:cacheprovider"]
            ran = subprocess.run(
                [sys.executable, "-m", "pytest", *options, "tests/replay/test_replay.py"],
                cwd=tree,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        finally:
            git("worktree", "remove", "--force", str(tree))
    return ran.returncode == 0, (ran.stdout.strip().splitlines() or ["no output"])[-1]


def main(arguments: Sequence[str]) -> int:
    """Replay at each commit, print a line for each, and return the exit code."""
    parser = argparse.ArgumentParser(description="Replay histories at each commit of a range.")
    parser.add_argument("range", help="commits as `git rev-list` takes them, such as A^..B")
    parser.add_argument("--histories", help="take the histories of this commit")
    options = parser.parse_args(arguments)
    histories = options.histories and git("rev-parse", options.histories).strip()
    commits = git("log", "--reverse", "--format=%h %s", options.range).splitlines()
    failure_count = 0
    for line in commits:
        is_passed, result = replay_at(line.split()[0], histories)
        failure_count += not is_passed
        sys.stdout.write(f"{'ok    ' if is_passed else 'FAILED'} {line[:70]:<70} {result}\n")
        sys.stdout.flush()
    passed = f"{len(commits) - failure_count} of {len(commits)}"
    sys.stdout.write(f"{passed} commits replay all histories\n")
    return min(failure_count, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
