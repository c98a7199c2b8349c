"""All SQL of the sandbox: one SQLite file, one writer, and what was committed survives SIGKILL."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, type TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL,
  endpoint TEXT NOT NULL, next_at REAL NOT NULL,
  attempt_count INTEGER NOT NULL DEFAULT 0, customer_email TEXT);
CREATE INDEX IF NOT EXISTS deliveries_by_time ON deliveries (next_at, seq);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event_id);
CREATE TABLE IF NOT EXISTS holds (event_id TEXT PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
  request_id TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, path TEXT NOT NULL,
  params TEXT NOT NULL, idempotency_key TEXT, status INTEGER, replayed INTEGER NOT NULL DEFAULT 0,
  wall_time REAL NOT NULL, customer TEXT, customer_email TEXT, fault TEXT,
  error_type TEXT, error_code TEXT, decline_code TEXT, user_agent TEXT);
CREATE INDEX IF NOT EXISTS requests_by_customer ON requests (customer_email, seq);
CREATE TABLE IF NOT EXISTS ledger (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, outcome TEXT NOT NULL,
  amount INTEGER NOT NULL, currency TEXT NOT NULL, customer TEXT, subscription TEXT, invoice TEXT,
  payment_intent TEXT, charge TEXT, decline_code TEXT, idempotency_key TEXT,
  wall_time REAL NOT NULL, sandbox_time REAL NOT NULL);
CREATE INDEX IF NOT EXISTS ledger_by_customer ON ledger (customer, seq);
CREATE TABLE IF NOT EXISTS jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, object_id TEXT NOT NULL,
  due_at INTEGER NOT NULL, clock TEXT, UNIQUE (kind, object_id));
CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (clock, due_at, seq);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""
SCHEMA_VERSION = 4
TABLES = (
    "objects", "events", "deliveries", "holds", "idempotency", "requests", "ledger", "jobs",
    "settings",
)  # fmt: skip
INDEXED = {
    "billing.meter_event": ("_customer", "identifier"),
    "balance_transaction": ("source", "status"),
    "charge": ("customer", "payment_intent"),
    "checkout.session": ("customer",),
    "credit_note": ("invoice",),
    "customer": ("test_clock",),
    "customer_balance_transaction": ("customer",),
    "dispute": ("charge", "payment_intent"),
    "invoice": ("customer", "parent.subscription_details.subscription"),
    "invoice_payment": ("invoice", "payment.payment_intent"),
    "invoiceitem": ("customer", "invoice"),
    "payment_intent": ("customer",),
    "payment_method": ("customer",),
    "price": ("product", "lookup_key"),
    "promotion_code": ("promotion.coupon", "_folded"),
    "refund": ("charge", "payment_intent"),
    "setup_attempt": ("setup_intent",),
    "setup_intent": ("customer",),
    "subscription": ("customer", "test_clock"),
    "test_helpers.test_clock": ("_customer_email",),
    "subscription_schedule": ("customer",),
}
_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
Row = dict[str, Any]


class Database:
    """One connection; what was committed survives a killed process."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Reason: NORMAL leaves each commit with the operating system, which a killed process
        # cannot take back; only a power cut could lose the last ones.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._check_version(path)
        self._connection.executescript(SCHEMA)
        for kind, fields in INDEXED.items():
            for field in fields:
                name = f"{kind}_by_{field}".replace(".", "_")
                self._connection.execute(
                    f"CREATE INDEX IF NOT EXISTS {name} ON objects "
                    f"(json_extract(body, '$.{field}'), seq) WHERE kind = '{kind}'"
                )

    def _check_version(self, path: Path) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        is_new = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        if found != SCHEMA_VERSION and not is_new:
            raise RuntimeError(f"{path} was made by another version of the sandbox: remove it")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything at the end, or nothing if an exception leaves the block."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Take back everything that the block writes, inside a transaction."""
        self._connection.execute("SAVEPOINT rehearsal")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK TO rehearsal")
            self._connection.execute("RELEASE rehearsal")

    def run(self, sql: str, *values: Any) -> None:
        """Carry out one statement."""
        self._connection.execute(sql, values)

    def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query."""
        found = self._connection.execute(sql, values).fetchone()
        return dict(found) if found else None

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        return [dict(row) for row in self._connection.execute(sql, values)]

    def insert(self, table: str, row: Mapping[str, Any]) -> int:
        """Add a row and return its number."""
        marks = ", ".join("?" * len(row))
        cursor = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608
            tuple(row.values()),
        )
        return int(cursor.lastrowid or 0)

    def erase(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in TABLES:
                self.run(f"DELETE FROM {table}")  # noqa: S608 - names are constants


def funds(db: Database) -> list[Row]:
    """Return what the balance transactions come to, by currency and status."""
    return db.rows(
        "SELECT json_extract(body, '$.currency') AS currency, "
        "json_extract(body, '$.status') AS status, sum(json_extract(body, '$.net')) AS net "
        "FROM objects WHERE kind = 'balance_transaction' GROUP BY 1, 2"
    )


def delete_clock(db: Database, clock_id: str) -> None:
    """Remove a test clock with all that lives on it, and all that was to come."""
    db.run("DELETE FROM jobs WHERE clock = ? OR object_id = ?", clock_id, clock_id)
    db.run(
        "DELETE FROM objects WHERE id = ? OR (kind IN ('subscription', "
        "'subscription_schedule', 'invoice', 'invoiceitem') "
        "AND json_extract(body, '$.test_clock') = ?)",
        clock_id,
        clock_id,
    )


def release_funds(db: Database, until: int) -> None:
    """Make available what was pending until a moment."""
    db.run(
        "UPDATE objects SET body = json_set(body, '$.status', 'available') "
        "WHERE kind = 'balance_transaction' AND json_extract(body, '$.status') = 'pending' "
        "AND json_extract(body, '$.available_on') <= ?",
        until,
    )


class Store:
    """Objects and events as JSON by id."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def get(self, object_id: str) -> Row | None:
        """Return one object."""
        row = self.db.row("SELECT body FROM objects WHERE id = ?", object_id)
        return orjson.loads(row["body"]) if row else None

    def put(self, body: Row) -> None:
        """Insert or replace one object."""
        self.db.run(
            "INSERT INTO objects (id, kind, created, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            body["id"],
            body["object"],
            body.get("created", body.get("_created", 0)),
            orjson.dumps(body).decode(),
        )

    def delete(self, object_id: str) -> None:
        """Remove one object."""
        self.db.run("DELETE FROM objects WHERE id = ?", object_id)

    def objects(
        self,
        kind: str,
        filters: Mapping[str, Any] | None = None,
        bounds: Mapping[str, int] | None = None,
        *,
        page: Mapping[str, Any] | None = None,
    ) -> tuple[list[Row], bool]:
        """Return one page of the objects that match, newest first, and whether there are more.

        Args:
            kind: The objects' type.
            filters: Wanted values by dotted path; None means null and a list any of its values.
            bounds: Limits on `created` by operator.
            page: Stripe's `limit`, `starting_after` and `ending_before`.
        """
        where, values = [f"kind = '{kind}'"], []
        for field, value in (filters or {}).items():
            if value is None:
                where.append(f"json_extract(body, '$.{field}') IS NULL")
                continue
            several = value if isinstance(value, list) else [value]
            where.append(f"json_extract(body, '$.{field}') IN ({', '.join('?' * len(several))})")
            values += several
        return self._page("objects", where, values, bounds or {}, page or {})

    def events(
        self,
        types: list[str],
        bounds: Mapping[str, int],
        page: Mapping[str, Any],
        *,
        is_delivered: bool | None = None,
    ) -> tuple[list[Row], bool]:
        """Return one page of events, newest first, and whether there are more."""
        # Reason: thin events are read by another API.
        where, values = ["type NOT LIKE 'v1.%'"], []
        if types:
            alternatives = []
            for name in types:
                alternatives.append("type GLOB ?" if name.endswith("*") else "type = ?")
                values.append(name)
            where.append(f"({' OR '.join(alternatives)})")
        if is_delivered is not None:
            pending = "EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id)"
            where.append(f"NOT {pending}" if is_delivered else pending)
        return self._page("events", where, values, bounds, page)

    def _page(
        self,
        table: str,
        where: list[str],
        values: list[Any],
        bounds: Mapping[str, int],
        page: Mapping[str, Any],
    ) -> tuple[list[Row], bool]:
        where, values = list(where), list(values)
        for operator, moment in bounds.items():
            where.append(f"created {_COMPARE[operator]} ?")
            values.append(moment)
        is_backwards = page.get("ending_before") is not None
        cursor = page.get("ending_before") or page.get("starting_after")
        if cursor is not None:
            sign = ">" if is_backwards else "<"
            where.append(f"seq {sign} (SELECT seq FROM {table} WHERE id = ?)")  # noqa: S608
            values.append(cursor)
        limit = page.get("limit", 10)
        rows = self.db.rows(
            f"SELECT body FROM {table} WHERE {' AND '.join(where) or 'TRUE'} "  # noqa: S608
            f"ORDER BY seq {'ASC' if is_backwards else 'DESC'} LIMIT {limit + 1}",
            *values,
        )
        found = [orjson.loads(row["body"]) for row in rows[:limit]]
        return (found[::-1] if is_backwards else found), len(rows) > limit
