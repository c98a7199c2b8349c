"""Checks for a container engine whether the process in this container is healthy.

    python deploy/healthcheck.py http://127.0.0.1:8000/health/live    the URL answers with success
    python deploy/healthcheck.py worker billing                       this host polls the task queue

The exit code is 0 if the process is healthy, else 1 with one line on standard error.
"""

import asyncio
import os
import socket
import sys
import urllib.request
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.exceptions import TemporalError

TIMEOUT_SECONDS = 4
# Reason: an idle worker polls at least once a minute; the server lists a poller for 5 minutes.
FRESH = timedelta(minutes=2)


def check_url(url: str) -> str | None:
    """Return None if the URL answers with status 200, else what is wrong."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        return None if answer.status == 200 else f"{url} answered {answer.status}"


async def check_worker(queue: str) -> str | None:
    """Return None if a process of this host polls the queue for workflow tasks, else a message."""
    namespace = os.environ.get("TEMPORAL__NAMESPACE", "default")
    client = await Client.connect(
        os.environ.get("TEMPORAL__ADDRESS", "127.0.0.1:7233"),
        namespace=namespace,
        api_key=os.environ.get("TEMPORAL__API_KEY"),
        tls=os.environ.get("TEMPORAL__IS_TLS", "false").lower() in {"1", "true", "yes", "on"},
    )
    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
    )
    host, now = socket.gethostname(), datetime.now(UTC)
    polled = (
        poller.last_access_time.ToDatetime(tzinfo=UTC)
        for poller in described.pollers
        if poller.identity.endswith(f"@{host}")
    )
    if any(now - at < FRESH for at in polled):
        return None
    return f"no process on {host} polls the task queue {queue}"


def main(arguments: list[str]) -> str | None:
    """Run the check that the arguments name; return None if healthy, else what is wrong."""
    try:
        match arguments:
            case ["worker", queue]:
                return asyncio.run(asyncio.wait_for(check_worker(queue), TIMEOUT_SECONDS))
            case [url] if url.startswith("http://"):
                return check_url(url)
            case _:
                return "usage: healthcheck.py URL | worker QUEUE"
    except (OSError, RuntimeError, TemporalError) as error:
        return f"unhealthy: {error}"


if __name__ == "__main__":
    problem = main(sys.argv[1:])
    sys.stderr.write(f"{problem}\n" if problem else "")
    sys.stderr.flush()
    # Reason: a process that ran the Temporal SDK can abort at interpreter exit (sdk-python#300).
    os._exit(1 if problem else 0)
