"""Identifies the running release, and retries the parked steps of other releases."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import BaseModel
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from database.parked_steps import ParkedRow, parked_by_other_releases
from database.session import DATABASE_DOWN, Sessions
from domain.ids import release_retry_id
from domain.parked_steps import ParkableResource
from domain.payment_retries.messages import RetryNow
from domain.payments.messages import CancelPayment
from domain.subscriptions.lifecycle import CommandKind
from domain.subscriptions.messages import SubscriptionCommand
from domain.workflow_names import RETRY_PARKED_UPDATE

log = structlog.get_logger(__name__)

PAGE_SIZE = 100
ACCEPT_WITHIN = timedelta(seconds=10)
# Reason: Temporal or the database may start later than the worker.
_PAUSES_SECONDS = (0.0, 10.0, 60.0, 600.0)
_DIGEST_LENGTH = 12
# Sources whose change can make a failed step succeed: the product and its packages.
_SOURCES = (
    "activities",
    "adapters",
    "agents",
    "bootstrap",
    "database",
    "domain",
    "observability",
    "services",
    "workflows",
    "worker.py",
    "requirements.lock",
)
_UPDATES: Mapping[ParkableResource, str] = {
    ParkableResource.SUBSCRIPTION: "command",
    ParkableResource.PAYMENT_RETRY: RETRY_PARKED_UPDATE,
    ParkableResource.PAYMENT: RETRY_PARKED_UPDATE,
}


@cache
def release_of(project: Path) -> str:
    """Return a short digest of the product's source files.

    Args:
        project: Root folder of the project.

    Returns:
        A digest that is equal for equal sources; computed once per process.
    """
    digest = hashlib.sha256()
    for name in _SOURCES:
        root = project / name
        files = sorted(root.rglob("*.py")) if root.is_dir() else [root] if root.is_file() else []
        for file in files:
            digest.update(file.relative_to(project).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:_DIGEST_LENGTH]


async def retry_parked_of_other_releases(client: Client, sessions: Sessions, release: str) -> None:
    """Retry every step that another release parked, at most once per release.

    Args:
        client: Temporal client.
        sessions: Database sessions.
        release: Digest of the current release.
    """
    for pause in _PAUSES_SECONDS:
        await asyncio.sleep(pause)
        try:
            if await _retry_all(client, sessions, release):
                return
        except DATABASE_DOWN as error:
            log.warning("parked_steps_not_read", error=type(error).__name__)
        except Exception:
            log.exception("parked_steps_not_retried")
            return


async def _retry_all(client: Client, sessions: Sessions, release: str) -> bool:
    """Ask the workflow of every parked row once; return whether all could be reached."""
    asked_count = failed_count = 0
    for resource in ParkableResource:
        after_id = None
        while True:
            async with sessions() as session:
                page = await parked_by_other_releases(
                    session, resource, release, after_id, PAGE_SIZE
                )
            for row in page:
                is_asked = await _ask(client, resource, row, release)
                asked_count += is_asked
                failed_count += not is_asked
            if len(page) < PAGE_SIZE:
                break
            after_id = page[-1].resource_id
    if asked_count or failed_count:
        log.info(
            "parked_steps_retried",
            release=release,
            asked_count=asked_count,
            failed_count=failed_count,
        )
    return failed_count == 0


def _command(resource: ParkableResource, command_id: UUID) -> BaseModel:
    if resource is ParkableResource.SUBSCRIPTION:
        return SubscriptionCommand(command_id=command_id, kind=CommandKind.RETRY_PARKED)
    if resource is ParkableResource.PAYMENT_RETRY:
        return RetryNow(command_id=command_id)
    return CancelPayment(command_id=command_id)


async def _ask(
    client: Client,
    resource: ParkableResource,
    row: ParkedRow,
    release: str,
) -> bool:
    """Ask a workflow to retry its parked steps; return whether it need not be asked again."""
    # Reason: Temporal accepts an update id once per run, and the mailbox a command id once.
    command_id = release_retry_id(row.workflow_id, release)
    try:
        await client.get_workflow_handle(row.workflow_id).start_update(
            _UPDATES[resource],
            _command(resource, command_id),
            id=str(command_id),
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=ACCEPT_WITHIN,
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            log.warning("parked_workflow_missing", workflow_id=row.workflow_id)
            return True
        log.warning("parked_retry_failed", workflow_id=row.workflow_id, error=error.status.name)
        return False
    except (TemporalError, WorkflowUpdateFailedError, TimeoutError) as error:
        log.warning("parked_retry_failed", workflow_id=row.workflow_id, error=type(error).__name__)
        return False
    return True
