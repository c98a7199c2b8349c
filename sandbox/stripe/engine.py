"""What requests, jobs and controls share: store, clock, one writer at a time, and deliveries."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import orjson

from sandbox.stripe.checks import Referee
from sandbox.stripe.clock import Clock, Scheduler
from sandbox.stripe.errors import ApiError
from sandbox.stripe.faults import Faults
from sandbox.stripe.jobs import JOBS
from sandbox.stripe.limits import RateLimit
from sandbox.stripe.session import Session
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import Webhooks

T = TypeVar("T")


class Engine:
    """Opens and closes units of work."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        faults: Faults,
        webhooks: Webhooks,
        referee: Referee,
        base_url: str,
    ) -> None:
        self.store = store
        self.faults = faults
        self.webhooks = webhooks
        self.referee = referee
        self.limit = RateLimit()
        self.writer = asyncio.Lock()
        self.clock = clock
        self.scheduler = Scheduler(store, self.clock, JOBS, units=self)
        self._base_url = base_url

    def session(
        self,
        now: int | None = None,
        *,
        test_clock: str | None = None,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Session:
        """Open a unit of work; its moment is the clock's unless a job brings its own."""
        default_now = int(self.clock.now()) if now is None or test_clock else now
        return Session(
            self.store,
            default_now if now is None else now,
            base_url=self._base_url,
            default_now=default_now,
            test_clock=test_clock,
            request_id=request_id,
            idempotency_key=idempotency_key,
        )

    async def carry_out(self, work: Callable[[Session], T], *, request_id: str | None = None) -> T:
        """Do one unit of work for a control or a page.

        Raises:
            ApiError: As the work does; what such an error keeps is kept.
        """
        failure: ApiError | None = None
        async with self.writer:
            session = self.session(request_id=request_id)
            with self.store.db.transaction():
                try:
                    done = work(session)
                except ApiError as error:
                    if not error.keeps_work:
                        raise
                    failure = error
                self.close(session)
        if failure is not None:
            raise failure
        return done

    def close(self, session: Session) -> None:
        """Write a unit's events down, in the transaction of what they tell of."""
        for event in session.events:
            self.webhooks.enqueue(event)
            self.referee.event(event)
            self.store.db.insert(
                "events",
                {
                    "id": event["id"],
                    "type": event["type"],
                    "created": event["created"],
                    "body": orjson.dumps(event).decode(),
                },
            )
        for event in session.thin_events:
            self.webhooks.enqueue_thin(event)
            self.referee.event(event)
            row = {"id": event["id"], "type": event["type"], "created": session.default_now}
            self.store.db.insert("events", row | {"body": orjson.dumps(event).decode()})
        if session.events or session.thin_events:
            self.webhooks.wake()
        if session.has_scheduled:
            self.scheduler.wake()
