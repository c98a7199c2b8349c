"""Stripe's idempotency rules: one key, one piece of work, one answer for 24 hours."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.stripe.errors import ApiError
from sandbox.stripe.store import Store

LIFETIME = 86_400
LONGEST = 255


@dataclass(frozen=True)
class Saved:
    """An answer that was given before, and to which request."""

    status: int
    body: bytes
    request_id: str


def fingerprint(method: str, path: str, params: dict[str, Any]) -> str:
    """Return a digest of what a request asks for."""
    asked = orjson.dumps([method, path, params], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(asked).hexdigest()


class IdempotencyKeys:
    """Which keys have an answer, and which are being worked on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: set[str] = set()

    def begin(self, key: str, asked: str, now: int) -> Saved | None:
        """Take a key up, or return the answer that it already has.

        Raises:
            ApiError: If the key is too long or belongs to another request, or if its request is
                still under way.
        """
        if len(key) > LONGEST:
            raise ApiError(
                400,
                "idempotency_error",
                f"An idempotency key has at most {LONGEST} characters; this one has {len(key)}.",
                is_saved=False,
            )
        row = self._store.db.row("SELECT * FROM idempotency WHERE key = ?", key)
        if row and row["created"] <= now - LIFETIME:
            self._store.db.run("DELETE FROM idempotency WHERE key = ?", key)
            row = None
        if row and row["fingerprint"] != asked:
            raise ApiError(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used for the same endpoint and "
                f"parameters they were first used for. Use a key other than '{key}'.",
                is_saved=False,
            )
        if row:
            return Saved(row["status"], row["body"].encode(), row["request_id"])
        if key in self._in_flight:
            raise ApiError(
                409,
                "idempotency_error",
                f"Another request with the Idempotency-Key {key} is in progress.",
                is_saved=False,
                code="idempotency_key_in_use",
            )
        self._in_flight.add(key)
        return None

    def save(self, key: str, asked: str, now: int, answer: Saved) -> None:
        """Keep an answer, in the transaction of the work itself."""
        self._store.db.insert(
            "idempotency",
            {
                "key": key,
                "fingerprint": asked,
                "status": answer.status,
                "body": answer.body.decode(),
                "request_id": answer.request_id,
                "created": now,
            },
        )

    def end(self, key: str) -> None:
        """Let go of a key that was taken up."""
        self._in_flight.discard(key)
