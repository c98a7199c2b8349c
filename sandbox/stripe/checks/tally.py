"""What was checked and what was wrong, in a file that outlives kills and resets."""

import sqlite3
import time
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (what TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS deviations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, finding TEXT NOT NULL,
  wall_time REAL NOT NULL);
INSERT OR IGNORE INTO counts VALUES ('request', 0), ('response', 0), ('event', 0);
"""


class Tally:
    """Counts of what was checked, and the deviations found."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def add(self, what: str) -> None:
        """Count one more request, response or event."""
        self._connection.execute("UPDATE counts SET n = n + 1 WHERE what = ?", (what,))

    def record(self, place: str, finding: str) -> None:
        """Keep a deviation."""
        row = (place, finding, time.time())
        sql = "INSERT INTO deviations (place, finding, wall_time) VALUES (?, ?, ?)"
        self._connection.execute(sql, row)

    def report(self) -> dict[str, Any]:
        """Return everything, oldest first."""
        counts = {
            f"checked_{what}_count": n
            for what, n in self._connection.execute("SELECT what, n FROM counts")
        }
        rows = self._connection.execute(
            "SELECT place, finding, wall_time FROM deviations ORDER BY seq"
        )
        items = [
            {"place": place, "finding": finding, "wall_time": wall_time}
            for place, finding, wall_time in rows
        ]
        return {**counts, "items": items}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
