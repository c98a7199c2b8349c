"""What Temporal makes of the errors and ends of activities, on its real server."""

import asyncio
import logging
import time
import traceback
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, CancelledError
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.interceptors import UNEXPECTED_ATTEMPTS, ActivityInterceptor
from database.accounts.models import User
from database.session import Sessions
from domain.errors import (
    BatchPendingError,
    InvalidInputError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from workflows.owed_steps import parked_step

ASKED_WAIT_SECONDS = 1.5


# What no retry heals: a value, a reference, a statement, and text that no driver can encode.
REFUSED = {
    "a value": "select cast(:text as text)",
    "a reference": "insert into api_keys (api_key_id, user_id, name, key_prefix, key_sha256) "
    "values (gen_random_uuid(), gen_random_uuid(), 'x', 'x', :text)",
    "a statement": "select :text from nowhere",
    "half a character": "select cast(:text as text)",
}
TEXTS = {"a value": "secret\0", "half a character": "secret\ud800"}


class Trouble:
    """Activities that end as told."""

    def __init__(self, sessions: Sessions | None = None) -> None:
        self.sessions = sessions
        self.tries = 0
        self.began = asyncio.Event()
        self.starts: list[float] = []
        self.was_told_to_stop = False

    @activity.defn
    async def slow_down(self) -> int:
        """Fail once, asking for a wait."""
        self.starts.append(time.monotonic())
        if len(self.starts) == 1:
            details = {"retry_after_seconds": ASKED_WAIT_SECONDS}
            raise ProviderUnavailableError("slow down", "model_rate_limited", details)
        return len(self.starts)

    @activity.defn
    async def wait_for_batch(self) -> int:
        """Wait for a batch, twice."""
        self.tries += 1
        if self.tries < 3:
            raise BatchPendingError("not yet", details={"retry_after_seconds": 0.1})
        return self.tries

    @activity.defn
    async def refuse(self) -> int:
        """Fail for good, whatever wait is asked for."""
        raise ProviderRejectedError("no", "model_rejected", {"retry_after_seconds": 60})

    @activity.defn
    async def deny(self) -> int:
        """Refuse what a caller asked for."""
        raise InvalidInputError("too much", "refund_exceeds_payment")

    @activity.defn
    async def stumble(self) -> int:
        """Fail in a way that nobody expected."""
        self.tries += 1
        raise ValueError("secret")

    @activity.defn
    async def store(self, case: str) -> int:
        """Ask of the database what it can never do."""
        self.tries += 1
        assert self.sessions is not None
        async with self.sessions.begin() as session:
            await session.execute(text(REFUSED[case]), {"text": TEXTS.get(case, "secret")})
        return 0

    @activity.defn
    async def linger(self) -> int:
        """Stay for as long as one may, the first time."""
        if activity.info().attempt > 1:
            return activity.info().attempt
        self.began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.was_told_to_stop = True
            raise
        raise AssertionError


@workflow.defn
class OneActivity:
    """Calls one of them by name."""

    @workflow.run
    async def run(self, name: str, arguments: list[str]) -> int:
        return int(
            await workflow.execute_activity(
                name,
                args=arguments,
                start_to_close_timeout=timedelta(seconds=90),
                heartbeat_timeout=timedelta(seconds=1),
                # Reason: without an asked-for wait the next try would come at once.
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                result_type=int,
            ),
        )


@workflow.defn
class OneTry:
    """Calls an activity by name, once."""

    @workflow.run
    async def run(self, name: str) -> int:
        return int(
            await workflow.execute_activity(
                name,
                start_to_close_timeout=timedelta(seconds=60),
                retry_policy=RetryPolicy(maximum_attempts=1),
                result_type=int,
            ),
        )


def worker(client: Client, queue: str, trouble: Trouble) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[OneActivity],
        activities=[
            trouble.slow_down,
            trouble.wait_for_batch,
            trouble.refuse,
            trouble.deny,
            trouble.stumble,
            trouble.store,
            trouble.linger,
        ],
        interceptors=[ActivityInterceptor("release-1")],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        graceful_shutdown_timeout=timedelta(milliseconds=200),
    )


async def start(
    client: Client, queue: str, name: str, *arguments: str
) -> WorkflowHandle[OneActivity, int]:
    given = [name, list(arguments)]
    return await client.start_workflow(OneActivity.run, args=given, id=queue, task_queue=queue)


async def test_the_wait_that_a_provider_asks_for_is_kept(dev_server: Client) -> None:
    trouble, queue = Trouble(), str(uuid4())
    async with worker(dev_server, queue, trouble):
        assert await (await start(dev_server, queue, "slow_down")).result() == 2
    first, second = trouble.starts
    assert second - first >= ASKED_WAIT_SECONDS


async def test_a_batch_is_waited_for_without_a_word(
    dev_server: Client, caplog: pytest.LogCaptureFixture
) -> None:
    trouble, queue = Trouble(), str(uuid4())
    caplog.set_level(logging.INFO)
    with capture_logs() as lines:
        async with worker(dev_server, queue, trouble), asyncio.timeout(100):
            assert await (await start(dev_server, queue, "wait_for_batch")).result() == 3
    assert lines == []
    assert [each for each in caplog.records if "Completing activity" in each.message] == []


async def test_what_is_refused_for_good_is_not_tried_again(dev_server: Client) -> None:
    trouble, queue = Trouble(), str(uuid4())
    async with worker(dev_server, queue, trouble), asyncio.timeout(100):
        with pytest.raises(WorkflowFailureError) as caught:
            await (await start(dev_server, queue, "refuse")).result()
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, TemporalApplicationError)
    assert caught.value.cause.cause.type == "model_rejected"


async def test_a_refusal_that_is_expected_is_one_line_of_the_log(
    dev_server: Client, caplog: pytest.LogCaptureFixture
) -> None:
    trouble, queue = Trouble(), str(uuid4())
    caplog.set_level(logging.INFO)
    with capture_logs() as lines:
        async with worker(dev_server, queue, trouble), asyncio.timeout(100):
            with pytest.raises(WorkflowFailureError):
                await (await start(dev_server, queue, "deny")).result()
    assert [(line["event"], line["code"]) for line in lines] == [
        ("activity_refused", "refund_exceeds_payment")
    ]
    assert [each for each in caplog.records if "Completing activity" in each.message] == []


async def test_what_nobody_expected_is_tried_a_few_times_and_names_the_release(
    dev_server: Client,
) -> None:
    trouble, queue = Trouble(), str(uuid4())
    async with worker(dev_server, queue, trouble), asyncio.timeout(100):
        with pytest.raises(WorkflowFailureError) as caught:
            await (await start(dev_server, queue, "stumble")).result()
    assert trouble.tries == UNEXPECTED_ATTEMPTS
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, TemporalApplicationError)
    parked = parked_step("sync", caught.value.cause, datetime.now(UTC))
    assert (parked.code, parked.release) == ("internal_error", "release-1")
    assert "secret" not in parked.message


@pytest.mark.parametrize("case", REFUSED)
async def test_what_the_database_can_never_do_is_not_tried_again(
    dev_server: Client, sessions: Sessions, case: str
) -> None:
    trouble, queue = Trouble(sessions), str(uuid4())
    async with worker(dev_server, queue, trouble), asyncio.timeout(30):
        running = await start(dev_server, queue, "store", case)
        with pytest.raises(WorkflowFailureError) as caught:
            await running.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, TemporalApplicationError)
    assert caught.value.cause.cause.type == "database_refused"
    assert trouble.tries == 1
    history = (await running.fetch_history()).to_json()
    assert "secret" not in history
    assert "insert into" not in history


async def test_a_worker_that_stops_is_no_cancel_and_another_one_goes_on(
    dev_server: Client,
) -> None:
    """Temporal's core itself reports it as a failure that can be retried; this guards it."""
    trouble, queue = Trouble(), str(uuid4())
    async with worker(dev_server, queue, trouble):
        running = await start(dev_server, queue, "linger")
        async with asyncio.timeout(100):
            await trouble.began.wait()
    assert trouble.was_told_to_stop
    async with worker(dev_server, queue, trouble), asyncio.timeout(100):
        assert await running.result() == 2


async def test_a_cancel_is_one(dev_server: Client) -> None:
    trouble, queue = Trouble(), str(uuid4())
    async with worker(dev_server, queue, trouble), asyncio.timeout(100):
        running = await start(dev_server, queue, "linger")
        await trouble.began.wait()
        await running.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await running.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert trouble.was_told_to_stop


async def test_what_the_database_refuses_is_told_without_what_was_to_be_stored(
    dev_server: Client,
    sessions: Sessions,
) -> None:
    secret, queue = f"$argon2id${uuid4().hex}", str(uuid4())

    @activity.defn
    async def sign_up() -> int:
        async with sessions.begin() as session:
            session.add(User(email=None, password_hash=secret, role="user"))
        return 0

    async with Worker(
        dev_server,
        task_queue=queue,
        workflows=[OneTry],
        activities=[sign_up],
        interceptors=[ActivityInterceptor()],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        handle = await dev_server.start_workflow(
            OneTry.run, "sign_up", id=str(uuid4()), task_queue=queue
        )
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, TemporalApplicationError)
    assert caught.value.cause.cause.type == "database_refused"
    assert secret not in (await handle.fetch_history()).to_json()


@pytest.mark.parametrize("odd", [{"email": None}, {"email": "a\0b"}])
async def test_an_error_of_the_database_quotes_nothing(
    sessions: Sessions,
    odd: dict[str, str | None],
) -> None:
    secret = uuid4().hex
    values = {"email": f"{secret}@example.com", "password_hash": secret, "role": "user"} | odd
    with pytest.raises(SQLAlchemyError) as caught:
        async with sessions.begin() as session:
            session.add(User(**values))
    told = "".join(traceback.format_exception(caught.value))
    assert "INSERT INTO users" in told
    assert secret not in told
