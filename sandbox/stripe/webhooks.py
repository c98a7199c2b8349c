"""Webhooks: signed, delivered at least once, tried again until they are taken."""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
import time
from dataclasses import dataclass

import orjson

from sandbox.stripe import API_VERSION
from sandbox.stripe.clock import Clock
from sandbox.stripe.faults import Faults
from sandbox.stripe.owners import owner_of_object
from sandbox.stripe.poster import Poster
from sandbox.stripe.store import Row, Store

_LONGEST_PAUSE = 60.0
_AT_ONCE = 16
_CONTENT = {"Content-Type": "application/json; charset=utf-8"}
_ALL = {"limit": 100}
_SHUFFLE_SECONDS = 0.2
log = logging.getLogger("sandbox.stripe.webhooks")
_dice = secrets.SystemRandom()


def _due(store: Store, held_back: list[str], now: float) -> list[Row]:
    """Return the next deliveries, but for held events and customers that are held back."""
    marks = ", ".join("?" * len(held_back))
    return store.db.rows(
        "SELECT d.*, e.body FROM deliveries d JOIN events e "  # noqa: S608 - only marks
        "ON e.id = d.event_id LEFT JOIN holds h ON h.event_id = d.event_id "
        f"WHERE coalesce(d.customer_email, '') NOT IN ({marks}) AND coalesce(h.until, 0) <= ? "
        "ORDER BY d.next_at, d.seq LIMIT ?",
        *held_back,
        now,
        2 * _AT_ONCE,
    )


def _seconds(given: float | tuple[float, float]) -> float:
    return _dice.uniform(*given) if isinstance(given, tuple) else given


def sign(secret: str, payload: bytes, moment: int) -> str:
    """Return the `Stripe-Signature` header of a payload."""
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + payload, hashlib.sha256)
    return f"t={moment},v1={digest.hexdigest()}"


@dataclass(frozen=True)
class Target:
    """Where events go: an endpoint of the API, by id, or the one of the command line."""

    endpoint: str
    url: str
    secret: str
    api_version: str | None = None

    def payload(self, body: str) -> bytes:
        """Return an event as it is sent there: it names the endpoint's own version, if it has one.

        The object in it keeps its shape.
        """
        if '"object":"v2.core.event"' in body:
            thin = orjson.loads(body)
            return orjson.dumps({name: thin[name] for name in thin.keys() - {"data"}})
        if self.api_version is None or self.api_version == API_VERSION:
            return body.encode()
        return orjson.dumps(orjson.loads(body) | {"api_version": self.api_version})


class Targets:
    """Who listens to what."""

    def __init__(self, store: Store, url: str | None, secret: str | None) -> None:
        self._store = store
        self._fixed = Target("", url, secret or "") if url else None

    def listening(self, event_type: str) -> list[Target]:
        """Return where events of a type are sent."""
        rows, _ = self._store.objects("webhook_endpoint", {"status": "enabled"}, page=_ALL)
        return ([self._fixed] if self._fixed else []) + [
            _target(row) for row in rows if not {"*", event_type}.isdisjoint(row["enabled_events"])
        ]

    def named(self, endpoint: str) -> Target | None:
        """Return one target, None if it is there no more."""
        if not endpoint:
            return self._fixed
        row = self._store.get(endpoint)
        return _target(row) if row else None


def _target(row: Row) -> Target:
    return Target(row["id"], row["url"], row["_secret"], row["api_version"])


class Webhooks:
    """Sends what is in the `deliveries` table; a row leaves it only after a 2xx."""

    def __init__(self, store: Store, faults: Faults, targets: Targets, clock: Clock) -> None:
        self._store = store
        self._faults = faults
        self._targets = targets
        self._clock = clock
        self._posters: dict[str, Poster] = {}
        self._wake = asyncio.Event()
        self._sending: dict[int, asyncio.Task[None]] = {}

    def enqueue(self, event: Row) -> None:
        """Note an event for delivery, and in it to how many, before it is written."""
        email = owner_of_object(self._store, event["data"]["object"]).email
        plan = self._faults.webhooks(email)
        listening = self._targets.listening(event["type"])
        event["pending_webhooks"] = len(listening)
        if plan.hold_until_advanced_seconds is not None:
            until = self._clock.now() + _seconds(plan.hold_until_advanced_seconds)
            self._store.db.insert("holds", {"event_id": event["id"], "until": until})
        for target in plan.duplicate * listening:
            next_at = time.time() + plan.delay_seconds
            if plan.shuffle:
                next_at += _dice.uniform(0, _SHUFFLE_SECONDS)
            row = {"event_id": event["id"], "endpoint": target.endpoint, "next_at": next_at}
            self._store.db.insert("deliveries", row | {"customer_email": email})

    def enqueue_thin(self, event: Row) -> None:
        """Note a thin event for delivery: only the command line's endpoint gets thin events."""
        target = self._targets.named("")
        if target is not None:
            row = {"event_id": event["id"], "endpoint": target.endpoint, "next_at": time.time()}
            self._store.db.insert("deliveries", row)

    def wake(self) -> None:
        """Look at the table again."""
        self._wake.set()

    def pending_count(self, email: str | None = None) -> int:
        """Return how many deliveries have not been taken yet, of all or about one customer."""
        sql = "SELECT count(*) AS n FROM deliveries WHERE ? IS NULL OR customer_email = ?"
        row = self._store.db.row(sql, email, email)
        return int(row["n"]) if row else 0

    async def run(self) -> None:
        """Deliver for ever."""
        # Reason: whatever kept the receiver away before a restart may be over.
        self._store.db.run("UPDATE deliveries SET next_at = min(next_at, ?)", time.time())
        try:
            while True:
                self._wake.clear()
                pause = self._start_due()
                # Reason: on 3.11 `wait_for` can swallow the cancellation that is to end this loop.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)
            for poster in self._posters.values():
                poster.close()

    def _start_due(self) -> float | None:
        """Start what is due and return how long the next one can wait, None being for ever."""
        if self._faults.plan.webhooks.off:
            return None
        rows = _due(self._store, list(self._faults.held_back()), self._clock.now())
        for row in rows:
            if row["seq"] in self._sending:
                continue
            if len(self._sending) >= _AT_ONCE:
                return None
            wait: float = row["next_at"] - time.time()
            if wait > 0:
                return min(wait, self._until_next_hold() or wait)
            self._sending[row["seq"]] = asyncio.create_task(self._deliver(row))
        return self._until_next_hold()

    def _until_next_hold(self) -> float | None:
        """Return for how long the clock has to move by itself until a held event is due."""
        now = self._clock.now()
        held = self._store.db.row("SELECT min(until) AS until FROM holds WHERE until > ?", now)
        return held["until"] - now if held and held["until"] is not None else None

    async def _deliver(self, row: Row) -> None:
        try:
            target = self._targets.named(row["endpoint"])
            if target is None or (
                not self._is_lost(row) and await self._is_taken(target, target.payload(row["body"]))
            ):
                self._store.db.run("DELETE FROM deliveries WHERE seq = ?", row["seq"])
                return
            pause = min(2.0 ** row["attempt_count"], _LONGEST_PAUSE)
            later = (
                "UPDATE deliveries SET attempt_count = attempt_count + 1, next_at = ? WHERE seq = ?"
            )
            self._store.db.run(later, time.time() + pause, row["seq"])
        finally:
            self._sending.pop(row["seq"], None)
            self.wake()

    def _is_lost(self, row: Row) -> bool:
        plan = self._faults.webhooks(row["customer_email"])
        return bool(plan.drop) and _dice.random() < plan.drop

    async def _is_taken(self, target: Target, payload: bytes) -> bool:
        headers = _CONTENT | {"Stripe-Signature": sign(target.secret, payload, int(time.time()))}
        poster = self._posters.setdefault(target.url, Poster(target.url))
        try:
            status = await poster.post(payload, headers)
        except OSError as error:
            log.debug("webhook not delivered: %r", error)
            return False
        return 200 <= status < 300
