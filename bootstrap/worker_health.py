"""Tells whether the workers of a process work: they poll, and their threads are not stuck."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.worker import Worker

from adapters.health import Probe
from adapters.temporal.task_queues import read_pollers
from database.open_work import ping
from database.session import Sessions
from domain.errors import UnavailableError
from domain.workflow_names import WORKFLOW_QUEUES

NOT_POLLING = "worker_not_polling"


@dataclass(frozen=True)
class RunningWorkers:
    """The workers of a process, and the threads that run their workflows, by task queue."""

    workers: dict[str, Worker]
    threads: dict[str, ThreadPoolExecutor]

    def add_threads(self, queue: str, count: int) -> ThreadPoolExecutor | None:
        """Add the threads of a task queue's workflows; None if it has no workflows."""
        if queue in WORKFLOW_QUEUES:
            self.threads[queue] = ThreadPoolExecutor(count, f"workflows-{queue}")
        return self.threads.get(queue)

    def release_threads(self) -> None:
        """Let the threads end; a stuck one is not waited for."""
        for executor in self.threads.values():
            executor.shutdown(wait=False)

    async def check_polling(self, client: Client) -> None:
        """Check that each worker polls its task queue, by what the server has seen of it.

        Raises:
            UnavailableError: A worker does not poll; the error code names the task queues.
            RPCError: Temporal cannot be reached.
        """
        ended = {queue for queue, worker in self.workers.items() if not worker.is_running}
        queues = tuple(queue for queue in self.workers if queue not in ended)
        for found in await read_pollers(client, queues):
            ours = [each for each in found.pollers if each.identity == client.identity]
            if not any(poller.is_polling() for poller in ours):
                ended.add(found.task_queue)
        if ended:
            raise UnavailableError(
                "a worker does not poll its task queue",
                f"{NOT_POLLING}: {', '.join(sorted(ended))}",
            )

    async def check_threads(self) -> None:
        """Wait until a thread of each task queue's workflows is free.

        If all of them are stuck, this does not return, and the probe's time limit ends it.
        """
        loop = asyncio.get_running_loop()
        executors = self.threads.values()
        await asyncio.gather(*[loop.run_in_executor(each, _do_nothing) for each in executors])


def make_worker_probes(
    client: Client,
    sessions: Sessions,
    running: RunningWorkers,
) -> dict[str, Probe]:
    """Build the health probes of a worker process, by name."""

    async def ping_database() -> None:
        async with sessions() as session:
            await ping(session)

    async def ping_temporal() -> None:
        if not await client.service_client.check_health():
            raise UnavailableError(
                "Temporal reports that it is not serving", "temporal_not_serving"
            )

    return {
        "database": ping_database,
        "temporal": ping_temporal,
        "task_queues": lambda: running.check_polling(client),
        "workflow_threads": running.check_threads,
    }


def _do_nothing() -> None:
    """Occupy a thread for a moment."""
