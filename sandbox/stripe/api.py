"""One API request from arrival to answer: log, key, faults, work in one transaction, webhooks."""

import asyncio
import functools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from sandbox.stripe import access, errors, forms, limits
from sandbox.stripe.access import Key
from sandbox.stripe.checks import Passing
from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.expand import expand
from sandbox.stripe.faults import ApiFault
from sandbox.stripe.idempotency import IdempotencyKeys, Saved, fingerprint
from sandbox.stripe.routing import Route, Router
from sandbox.stripe.session import Session, new_id
from sandbox.stripe.versions import modern

log = logging.getLogger("sandbox.stripe.api")


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    params: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def key(self) -> str | None:
        """The idempotency key, which reads ignore."""
        return self.headers.get("idempotency-key") if self.method == "POST" else None


@dataclass(frozen=True)
class Answer:
    """What goes back; a dropped one is never sent.

    Attributes:
        original: The request whose work it tells of, where that can be asked for by a key.
    """

    status: int
    body: bytes
    request_id: str
    original: str | None = None
    is_replayed: bool = False
    is_dropped: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A request whose route is known."""

    asked: Asked
    key: Key
    route: Route
    ids: list[str]
    request_id: str
    fault: ApiFault | None

    @functools.cached_property
    def fingerprint(self) -> str:
        """What its idempotency key stands for."""
        return fingerprint(self.asked.method, self.asked.path, self.asked.params)


class Api:
    """Stripe's API over one store."""

    def __init__(self, engine: Engine, router: Router) -> None:
        self._engine = engine
        self._store = engine.store
        self._router = router
        self._keys = IdempotencyKeys(engine.store)

    async def handle(self, method: str, path: str, encoded: str, headers: Any) -> Answer:
        """Answer one request."""
        request_id = new_id("req")
        seq = 0
        passing = Passing(method)
        try:
            asked = Asked(method, path, forms.decode(encoded), headers)
            seq = self._log(asked)
            asked = replace(asked, params=modern(method, path, asked.params, headers))
            key = access.key_of(headers)
            self._engine.limit.take()
            found = self._router.find(method, path)
            if found is None:
                raise errors.unknown_route(method, path)
            passing = Passing(method, found[0].pattern, asked.params, key.is_publishable)
            key.check(method, found[0].pattern)
            fault = self._engine.faults.take(method, path)
            answer = await self._with_key(Work(asked, key, *found, request_id, fault))
        except ApiError as error:
            answer = _refusal(error, request_id)
        try:
            self._engine.referee.exchange(passing, answer.status, answer.body)
        except ApiError as error:
            answer = _refusal(error, request_id)
        self._store.db.run(
            "UPDATE requests SET status = ?, replayed = ? WHERE seq = ?",
            answer.status,
            answer.is_replayed,
            seq,
        )
        return answer

    def _log(self, asked: Asked) -> int:
        return self._store.db.insert(
            "requests",
            {
                "method": asked.method,
                "path": asked.path,
                "params": orjson.dumps(forms.listed(asked.params)).decode(),
                "idempotency_key": asked.headers.get("idempotency-key"),
                "wall_time": time.time(),
            },
        )

    async def _with_key(self, work: Work) -> Answer:
        asked, fault = work.asked, work.fault
        if asked.key:
            saved = self._keys.begin(asked.key, work.fingerprint, int(self._engine.clock.now()))
            if saved:
                is_dropped = bool(fault and fault.drop)
                return Answer(
                    saved.status, saved.body, work.request_id, saved.request_id, True, is_dropped
                )
        try:
            if fault and fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if fault and fault.before:
                raise _fault_error(fault.before, fault.code)
            if asked.method == "GET":
                return self._do(work)
            async with self._engine.writer:
                return self._do(work)
        finally:
            if asked.key:
                self._keys.end(asked.key)

    def _do(self, work: Work) -> Answer:
        """Work, events, ledger and saved answer are one transaction: all of it or nothing."""
        params = work.route.params.parse(work.asked.params)
        session = self._engine.session(request_id=work.request_id, idempotency_key=work.asked.key)
        try:
            with self._store.db.transaction():
                answer = _carry_out(session, work, params)
                self._save(work, session, answer)
                self._engine.close(session)
        except ApiError as error:
            answer = _answer(error, None, work)
            if error.is_saved:
                self._save(work, session, answer)
        except Exception as error:
            log.exception("%s %s failed", work.asked.method, work.asked.path)
            self._engine.referee.failure(f"{work.asked.method} {work.asked.path}", error)
            answer = _answer(_fault_error(500), None, work)
            self._save(work, session, answer)
        return answer

    def _save(self, work: Work, session: Session, answer: Answer) -> None:
        key = work.asked.key
        if key:
            saved = Saved(answer.status, answer.body, work.request_id)
            self._keys.save(key, work.fingerprint, session.default_now, saved)


def _carry_out(session: Session, work: Work, params: dict[str, Any]) -> Answer:
    failure: ApiError | None = None
    body: Any = None
    try:
        work.key.check_secret(session, work.route.pattern, work.ids, params)
        body = work.route.handler(session, params, *work.ids)
        expand(session, body, params.get("expand") or [])
    except ApiError as error:
        if not error.keeps_work:
            raise
        failure = error
    if work.fault and work.fault.after:
        failure = _fault_error(work.fault.after)
    return _answer(failure, body, work)


def _refusal(error: ApiError, request_id: str) -> Answer:
    body = orjson.dumps(error.body(request_id))
    return Answer(error.status, body, request_id, headers=error.headers)


def _answer(failure: ApiError | None, body: Any, work: Work) -> Answer:
    is_dropped = bool(work.fault and work.fault.drop)
    status = failure.status if failure else 200
    payload = orjson.dumps(work.key.view(failure.body(work.request_id) if failure else body))
    original = work.request_id if work.asked.method == "POST" else None
    headers = failure.headers if failure else {}
    return Answer(
        status, payload, work.request_id, original, is_dropped=is_dropped, headers=headers
    )


def _fault_error(status: int, code: str = "rate_limit") -> ApiError:
    if status == 429:
        return limits.exceeded(code)
    message = "An unknown error occurred on our side. We have been told of it."
    return ApiError(status, "api_error", message, is_saved=False)
