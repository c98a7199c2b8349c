"""Starts worker and API again whenever the code changes: `up --reload`."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

FOLDERS = (
    "activities",
    "adapters",
    "agents",
    "api",
    "bootstrap",
    "database",
    "domain",
    "observability",
    "services",
    "workflows",
)
ENDINGS = (".md", ".py", ".toml")


class CodeFilter(DefaultFilter):
    """Accepts changes of code, agent specs and prompts."""

    def __call__(self, change: Change, path: str) -> bool:
        """Return whether a change is one of the code."""
        return path.endswith(ENDINGS) and super().__call__(change, path)


async def reload_on_change(
    project: Path,
    reload: Callable[[], Awaitable[None]],
    say: Callable[[str], None],
) -> None:
    """Reload for ever, once for all changes that come together.

    Args:
        project: Folder of `cli.py`.
        reload: Starts worker and API again.
        say: Prints a line of the supervisor.
    """
    folders = [project / name for name in FOLDERS if (project / name).is_dir()]
    async for changes in awatch(*folders, watch_filter=CodeFilter(), step=200):
        first, *others = sorted(str(Path(path).relative_to(project)) for _, path in changes)
        more = f" and {len(others)} more" if others else ""
        say(f"{first}{more} changed; starting worker and API again")
        await reload()
