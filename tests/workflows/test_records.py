"""Records are executed within the workflow task, and from the task queue if they fail there."""

import asyncio

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import ConflictError, UnavailableError
    from tests.support.small_workers import serving
    from workflows.records import execute_record

OK, DOWN, REFUSED, UNKNOWN, SLOW = "ok", "down", "refused", "unknown", "slow"


class Ledger:
    """Fails as told at its first attempt, and notes how each attempt was executed."""

    def __init__(self) -> None:
        self.attempts: list[str] = []

    @activity.defn
    async def write(self, trouble: str) -> str:
        self.attempts.append("local" if activity.info().is_local else "queue")
        if len(self.attempts) == 1 and trouble == DOWN:
            raise UnavailableError("the database is down")
        if len(self.attempts) == 1 and trouble == UNKNOWN:
            raise ZeroDivisionError
        if len(self.attempts) == 1 and trouble == SLOW:
            await asyncio.sleep(60)
        if trouble == REFUSED:
            raise ConflictError("it is there already")
        return trouble


@workflow.defn
class Recording:
    """Executes one record."""

    @workflow.run
    async def run(self, trouble: str, is_local: bool) -> str:
        return await execute_record(Ledger.write, trouble, "write", is_local=is_local)


async def attempts_at(client: Client, trouble: str, *, is_local: bool = True) -> list[str]:
    ledger = Ledger()
    async with serving(client, Recording, ledger.write) as queue, asyncio.timeout(60):
        running = client.execute_workflow(
            Recording.run, args=[trouble, is_local], id=queue, task_queue=queue
        )
        if trouble == REFUSED:
            with pytest.raises(WorkflowFailureError) as failed:
                await running
            cause = failed.value.cause
            assert isinstance(cause, ApplicationError)
            assert cause.type == "conflict"
        else:
            assert await running == trouble
    return ledger.attempts


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [
        (OK, ["local"]),
        (DOWN, ["local", "queue"]),
        (UNKNOWN, ["local", "queue"]),
        (SLOW, ["local", "queue"]),
        (REFUSED, ["local"]),
    ],
)
async def test_a_record_falls_back_to_the_queue_unless_it_is_refused(
    dev_server: Client, trouble: str, attempts: list[str]
) -> None:
    assert await attempts_at(dev_server, trouble) == attempts


async def test_an_old_execution_goes_by_way_of_the_queue(dev_server: Client) -> None:
    assert await attempts_at(dev_server, OK, is_local=False) == ["queue"]
