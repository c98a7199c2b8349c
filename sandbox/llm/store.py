"""All SQL of this stand-in: the log of requests and the queue of scripted replies."""

import sqlite3
import time
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sandbox.llm.batch_store import TABLES, BatchStore

# Reason: bodies are apart so that counting a token does not write them again.
SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, model TEXT, is_stream INTEGER NOT NULL,
  status INTEGER, finish_reason TEXT, prompt_tokens INTEGER NOT NULL DEFAULT 0,
  completion_tokens INTEGER NOT NULL DEFAULT 0, is_complete INTEGER NOT NULL DEFAULT 0,
  is_client_gone INTEGER NOT NULL DEFAULT 0, started_wall_time REAL NOT NULL, ended_wall_time REAL,
  scripted INTEGER NOT NULL, token_wall_times TEXT);
CREATE TABLE IF NOT EXISTS switches (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bodies (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS script (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT, match TEXT, item TEXT NOT NULL,
  left_count INTEGER NOT NULL);
"""
# Columns that older files lack.
_LATER_COLUMNS = {
    "behaviour": "TEXT",
    "refusal": "TEXT",
    "piece_count": "INTEGER NOT NULL DEFAULT 0",
    "piece_bytes": "INTEGER NOT NULL DEFAULT 0",
}
_FLAGS = ("is_stream", "is_complete", "is_client_gone", "scripted")
_CALLS = "/v1/chat/completions", "/v1/messages"


class Arrival(NamedTuple):
    """A request as it is logged on arrival."""

    path: str
    model: str | None
    body: Any
    is_stream: bool
    is_scripted: bool


class Store:
    """One connection; what was committed survives a killed process."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        known = {row["name"] for row in self._db.execute("PRAGMA table_info(requests)")}
        for name, kind in _LATER_COLUMNS.items():
            if name not in known:
                self._db.execute(f"ALTER TABLE requests ADD COLUMN {name} {kind}")

        self.batches = BatchStore(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def log(self, arrival: Arrival) -> int:
        """Note a request on arrival and return its number."""
        self._db.execute("BEGIN")
        cursor = self._db.execute(
            "INSERT INTO requests (path, model, is_stream, scripted, started_wall_time) "
            "VALUES (?, ?, ?, ?, ?)",
            (arrival.path, arrival.model, arrival.is_stream, arrival.is_scripted, time.time()),
        )
        seq = int(cursor.lastrowid or 0)
        text = orjson.dumps(arrival.body).decode()
        self._db.execute("INSERT INTO bodies VALUES (?, ?)", (seq, text))
        self._db.execute("COMMIT")
        return seq

    def note(self, seq: int, **facts: Any) -> None:
        """Write down how a request is getting on."""
        columns = ", ".join(f"{name} = ?" for name in facts)
        self._db.execute(
            f"UPDATE requests SET {columns} WHERE seq = ?",  # noqa: S608 - names are ours
            (*facts.values(), seq),
        )

    def end(self, seq: int, **facts: Any) -> None:
        """Write down how and when a request ended."""
        self.note(seq, ended_wall_time=time.time(), **facts)

    def requests(self) -> list[dict[str, Any]]:
        """Return all requests, oldest first."""
        rows = self._db.execute("SELECT * FROM requests NATURAL JOIN bodies ORDER BY seq")
        return [_shown(row) for row in rows]

    def queue(self, items: list[dict[str, Any]]) -> None:
        """Put scripted replies at the end of the queue."""
        self._db.executemany(
            "INSERT INTO script (path, match, item, left_count) VALUES (?, ?, ?, ?)",
            [
                (item["path"], item["match"], orjson.dumps(item).decode(), item["repeat"])
                for item in items
            ],
        )

    def take(self, path: str, body: str) -> dict[str, Any] | None:
        """Take the first scripted reply that is meant for a request.

        Args:
            path: Where the request went; replies for no path in particular are for model calls.
            body: Its JSON.
        """
        row = self._db.execute(
            "SELECT seq, item, left_count FROM script "
            "WHERE (path = :path OR (path IS NULL AND :is_call)) "
            "AND (match IS NULL OR instr(:body, match)) ORDER BY seq LIMIT 1",
            {"path": path, "is_call": path in _CALLS, "body": body},
        ).fetchone()
        if row is None:
            return None
        if row["left_count"] > 1:
            sql = "UPDATE script SET left_count = left_count - 1 WHERE seq = ?"
        else:
            sql = "DELETE FROM script WHERE seq = ?"
        self._db.execute(sql, (row["seq"],))
        item: dict[str, Any] = orjson.loads(row["item"])
        return item

    def switch(self, name: str, *, is_on: bool) -> None:
        """Turn something on or off for every request."""
        if is_on:
            self._db.execute("INSERT OR IGNORE INTO switches VALUES (?)", (name,))
        else:
            self._db.execute("DELETE FROM switches WHERE name = ?", (name,))

    def is_on(self, name: str) -> bool:
        """Tell whether something is turned on."""
        found = self._db.execute("SELECT 1 FROM switches WHERE name = ?", (name,))
        return found.fetchone() is not None

    def waiting_count(self) -> int:
        """Return how many scripted replies nobody has taken yet."""
        (found,) = self._db.execute("SELECT coalesce(sum(left_count), 0) FROM script").fetchone()
        return int(found)

    def erase(self) -> None:
        """Forget everything."""
        self._db.execute("BEGIN")
        for table in ("requests", "bodies", "script", "switches", *TABLES):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names are constants
        self._db.execute("COMMIT")


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    item = dict(row)
    item["body"] = orjson.loads(item["body"])
    for flag in _FLAGS:
        item[flag] = bool(item[flag])
    times = item.pop("token_wall_times")
    if times is not None:
        item["token_wall_times"] = orjson.loads(times)
    return item
