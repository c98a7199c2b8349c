"""One API request from arrival to answer: log, key, faults, work in one transaction, webhooks."""

import asyncio
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from sandbox.stripe import access, errors, forms, versions
from sandbox.stripe.access import Key
from sandbox.stripe.checks import Passing
from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.expand import expand
from sandbox.stripe.fault_answers import fault_error, is_as_documented, sent_body
from sandbox.stripe.faults import ApiFault
from sandbox.stripe.idempotency import IdempotencyKeys, Saved, fingerprint
from sandbox.stripe.request_log import RequestLog
from sandbox.stripe.routing import Route, Router
from sandbox.stripe.session import Session, new_id

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
    fault: ApiFault | None = None


@dataclass(frozen=True)
class Work:
    """A request whose route is known."""

    asked: Asked
    key: Key
    route: Route
    ids: list[str]
    request_id: str
    fault: ApiFault | None

    @property
    def original(self) -> str | None:
        """What its answer and each replay of it name as the request; reads are not replayed."""
        return self.request_id if self.asked.method == "POST" else None

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
        self._log = RequestLog(engine.store, engine.faults)

    async def handle(self, method: str, path: str, encoded: str, headers: Any) -> Answer:
        """Answer one request."""
        request_id = new_id("req")
        seq = 0
        passing = Passing(method)
        try:
            asked = Asked(method, path, forms.decode(encoded), headers)
            seq = self._log.arrive(method, path, asked.params, headers)
            key = access.key_of(headers)
            version = versions.asked_for(headers)
            asked = replace(asked, params=versions.modern(method, path, asked.params, version))
            self._engine.limit.take()
            found = self._router.find(method, path)
            if found is None:
                raise errors.unknown_route(method, path)
            passing = Passing(method, found[0].pattern, asked.params, key.is_publishable)
            key.check(method, found[0].pattern)
            fault = self._log.meet(seq, method, path, asked.params, headers)
            answer = await self._with_key(Work(asked, key, *found, request_id, fault))
            answer = replace(answer, body=sent_body(fault, answer.body), fault=fault)
        except ApiError as error:
            answer = _refusal(error, request_id)
        try:
            if is_as_documented(answer.fault):
                self._engine.referee.exchange(passing, answer.status, answer.body)
        except ApiError as error:
            answer = _refusal(error, request_id)
        self._log.answered(
            seq, answer.status, answer.body, is_replayed=answer.is_replayed, fault=answer.fault
        )
        return answer

    async def _with_key(self, work: Work) -> Answer:
        asked, fault = work.asked, work.fault
        if asked.key:
            saved = self._keys.begin(asked.key, work.fingerprint, int(self._engine.clock.now()))
            if saved:
                return _replay(work, saved)
        try:
            if fault and fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if fault and (fault.before or fault.drop_before):
                return self._refuse(work, fault)
            if asked.method == "GET":
                answer = self._do(work)
            else:
                async with self._engine.writer:
                    answer = self._do(work)
            if fault and fault.delay_after_seconds:
                await asyncio.sleep(fault.delay_after_seconds)
            return answer
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
            answer = _answer(fault_error(500), None, work)
            self._save(work, session, answer)
        return answer

    def _refuse(self, work: Work, fault: ApiFault) -> Answer:
        """Answer what a fault says, with nothing done."""
        error = fault_error(fault.before or 500, fault)
        answer = replace(
            _refusal(error, work.request_id), original=work.original, is_dropped=fault.drop_before
        )
        if error.is_saved:
            self._save(work, self._engine.session(), answer)
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
        failure = fault_error(work.fault.after, work.fault)
    return _answer(failure, body, work)


def _replay(work: Work, saved: Saved) -> Answer:
    fault = work.fault
    return Answer(
        saved.status,
        saved.body,
        work.request_id,
        saved.request_id,
        is_replayed=True,
        is_dropped=bool(fault and (fault.drop or fault.drop_before)),
    )


def _refusal(error: ApiError, request_id: str) -> Answer:
    body = orjson.dumps(error.body(request_id))
    return Answer(error.status, body, request_id, headers=error.headers)


def _answer(failure: ApiError | None, body: Any, work: Work) -> Answer:
    is_dropped = bool(work.fault and work.fault.drop)
    status = failure.status if failure else 200
    payload = orjson.dumps(work.key.view(failure.body(work.request_id) if failure else body))
    headers = failure.headers if failure else {}
    return Answer(
        status, payload, work.request_id, work.original, is_dropped=is_dropped, headers=headers
    )
