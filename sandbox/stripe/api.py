"""One API request from arrival to answer: log, key, faults, work in one transaction, webhooks."""

import asyncio
import base64
import functools
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from sandbox.stripe import errors, forms, versions
from sandbox.stripe.checks import Passing
from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.expand import expand
from sandbox.stripe.fault_answers import fault_error, is_as_documented, sent_body
from sandbox.stripe.faults import ApiFault
from sandbox.stripe.idempotency import IdempotencyKeys, fingerprint
from sandbox.stripe.request_log import RequestLog
from sandbox.stripe.routing import Route, Router
from sandbox.stripe.session import Session, new_id

_TEST_KEY = re.compile(r"(sk|rk)_test_\w+")
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
    """What goes back; a dropped one is never sent."""

    status: int
    body: bytes
    request_id: str
    is_replayed: bool = False
    is_dropped: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: ApiFault | None = None


@dataclass(frozen=True)
class Work:
    """A request whose route is known."""

    asked: Asked
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
        self._log = RequestLog(engine.store, engine.faults)

    async def handle(self, method: str, path: str, encoded: str, headers: Any) -> Answer:
        """Answer one request."""
        request_id = new_id("req")
        seq = 0
        passing = Passing(method)
        try:
            asked = Asked(method, path, forms.decode(encoded), headers)
            seq = self._log.arrive(method, path, asked.params, headers)
            _authorize(headers)
            version = versions.asked_for(headers)
            asked = replace(asked, params=versions.modern(method, path, asked.params, version))
            self._engine.limit.take()
            found = self._router.find(method, path)
            if found is None:
                raise errors.unknown_route(method, path)
            passing = Passing(method, found[0].pattern, asked.params)
            fault = self._log.meet(seq, method, path, asked.params, headers)
            answer = await self._with_key(asked, *found, request_id, fault)
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

    async def _with_key(
        self, asked: Asked, route: Route, ids: list[str], request_id: str, fault: ApiFault | None
    ) -> Answer:
        work = Work(asked, route, ids, request_id, fault)
        if asked.key:
            saved = self._keys.begin(asked.key, work.fingerprint, int(self._engine.clock.now()))
            if saved:
                is_dropped = bool(fault and (fault.drop or fault.drop_before))
                return Answer(saved.status, saved.body, request_id, True, is_dropped)
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
        answer = replace(_refusal(error, work.request_id), is_dropped=fault.drop_before)
        if error.is_saved:
            self._save(work, self._engine.session(), answer)
        return answer

    def _save(self, work: Work, session: Session, answer: Answer) -> None:
        key = work.asked.key
        if key:
            self._keys.save(key, work.fingerprint, session.default_now, answer.status, answer.body)


def _carry_out(session: Session, work: Work, params: dict[str, Any]) -> Answer:
    failure: ApiError | None = None
    body: Any = None
    try:
        body = work.route.handler(session, params, *work.ids)
        expand(session, body, params.get("expand") or [])
    except ApiError as error:
        if not error.keeps_work:
            raise
        failure = error
    if work.fault and work.fault.after:
        failure = fault_error(work.fault.after, work.fault)
    return _answer(failure, body, work)


def _refusal(error: ApiError, request_id: str) -> Answer:
    body = orjson.dumps(error.body(request_id))
    return Answer(error.status, body, request_id, headers=error.headers)


def _answer(failure: ApiError | None, body: Any, work: Work) -> Answer:
    is_dropped = bool(work.fault and work.fault.drop)
    status = failure.status if failure else 200
    payload = orjson.dumps(failure.body(work.request_id) if failure else body)
    return Answer(status, payload, work.request_id, is_dropped=is_dropped)


def _authorize(headers: Mapping[str, str]) -> None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not scheme:
        raise errors.unauthorized(
            "You did not provide an API key. Send it as `Authorization: Bearer YOUR_SECRET_KEY`."
        )
    key = given.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except ValueError:
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not _TEST_KEY.fullmatch(key):
        raise errors.unauthorized(
            f"Invalid API key provided: {key[:8]}***. The sandbox takes any sk_test_ or rk_test_."
        )
