"""All SQL of files and batches; what was committed survives a killed process."""

import sqlite3
import time
from typing import Any

import orjson

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, shown TEXT NOT NULL DEFAULT '', content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, shown TEXT NOT NULL DEFAULT '', items TEXT NOT NULL,
  due_at REAL NOT NULL, is_over INTEGER NOT NULL DEFAULT 0);
"""
TABLES = ("files", "batches")
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})

Json = dict[str, Any]


class BatchStore:
    """Files and batches over the connection of a store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.executescript(SCHEMA)

    def add_file(self, purpose: str, name: str, content: str, lifetime: int | None) -> Json:
        """Store a file, and return it as it is shown."""
        now = int(time.time())
        facts = {
            "object": "file",
            "purpose": purpose,
            "filename": name,
            "bytes": len(content.encode()),
            "created_at": now,
            "expires_at": None if lifetime is None else now + lifetime,
            "status": "processed",
            "status_details": None,
        }
        cursor = self._db.execute("INSERT INTO files (content) VALUES (?)", (content,))
        return self._shown("files", f"file-{cursor.lastrowid:08d}", facts)

    def file(self, file_id: str) -> tuple[Json, str] | None:
        """Return a file and its content; None if there is none."""
        found = self._db.execute(
            "SELECT shown, content FROM files WHERE seq = ?", (_number(file_id),)
        ).fetchone()
        return None if found is None else (orjson.loads(found["shown"]), found["content"])

    def delete_file(self, file_id: str) -> bool:
        """Delete a file, and tell whether there was one."""
        cursor = self._db.execute("DELETE FROM files WHERE seq = ?", (_number(file_id),))
        return cursor.rowcount == 1

    def add(self, facts: Json, items: list[Json], seconds: float) -> Json:
        """Store a batch that is due after some seconds, and return it as it is shown."""
        cursor = self._db.execute(
            "INSERT INTO batches (items, due_at) VALUES (?, ?)",
            (orjson.dumps(items).decode(), time.time() + seconds),
        )
        return self._shown("batches", f"batch_{cursor.lastrowid:08d}", facts)

    def batch(self, batch_id: str) -> Json | None:
        """Return a batch; None if there is none."""
        found = self._db.execute(
            "SELECT shown FROM batches WHERE seq = ?", (_number(batch_id),)
        ).fetchone()
        return None if found is None else orjson.loads(found["shown"])

    def input_of(self, batch: Json) -> str:
        """Return the requests of a batch."""
        found = self.file(batch["input_file_id"])
        return "" if found is None else found[1]

    def page(self, after: str | None, limit: int) -> tuple[list[Json], bool]:
        """Return batches, newest first, and whether there are more."""
        before = _number(after) if after else 2**62
        rows = self._db.execute(
            "SELECT shown FROM batches WHERE seq < ? ORDER BY seq DESC LIMIT ?",
            (before, limit + 1),
        ).fetchall()
        return [orjson.loads(row["shown"]) for row in rows[:limit]], len(rows) > limit

    def all(self) -> list[Json]:
        """Return all batches, oldest first, each with the content of its input file."""
        rows = self._db.execute("SELECT shown FROM batches ORDER BY seq")
        found = [orjson.loads(row["shown"]) for row in rows]
        return [batch | {"input": self.input_of(batch)} for batch in found]

    def under_way(self) -> list[tuple[Json, list[Json], float]]:
        """Return the batches that are not over, with their scripts and when they are due."""
        rows = self._db.execute("SELECT * FROM batches WHERE NOT is_over").fetchall()
        return [
            (orjson.loads(row["shown"]), orjson.loads(row["items"]), row["due_at"]) for row in rows
        ]

    def save(self, batch: Json) -> None:
        """Store how a batch is getting on."""
        self._db.execute(
            "UPDATE batches SET shown = ?, is_over = ? WHERE seq = ?",
            (orjson.dumps(batch).decode(), batch["status"] in _OVER, _number(batch["id"])),
        )

    def _shown(self, table: str, object_id: str, facts: Json) -> Json:
        shown = {"id": object_id, **facts}
        self._db.execute(
            f"UPDATE {table} SET shown = ? WHERE seq = ?",  # noqa: S608 - names are constants
            (orjson.dumps(shown).decode(), _number(object_id)),
        )
        return shown


def _number(object_id: str) -> int:
    """Return the number within an id; 0, which nothing has, for what is no id of ours."""
    digits = object_id.rpartition("-")[2].rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0
