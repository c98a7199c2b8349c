"""Finds workflow histories by file or id, and saves them as test cases."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from google.protobuf.json_format import ParseError
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.client import connect
from commands.resources import INVOICE_PREFIX
from commands.targets import TargetError, find_database_url, find_temporal
from config import TemporalSettings
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.session import DATABASE_DOWN, make_engine, make_sessions
from domain.errors import InvalidInputError, NotFoundError, UnavailableError
from domain.ids import (
    agent_run_workflow_id,
    ingest_workflow_id,
    payment_retry_workflow_id,
    payment_workflow_id,
    stripe_operation_workflow_id,
    subscription_workflow_id,
)

RECORDER = "recorder"
# Workflow ids that are made of the id of a row; a payment retry's is made of its invoice's id.
_WORKFLOW_IDS = (
    subscription_workflow_id,
    agent_run_workflow_id,
    payment_workflow_id,
    ingest_workflow_id,
    stripe_operation_workflow_id,
)


async def find_history(
    target: str,
    stack: Path | None,
    environ: Mapping[str, str],
    run_id: str | None = None,
) -> WorkflowHistory:
    """Find a history by the name of its file, or by an id.

    Args:
        target: The path of a history file, a workflow id, the id of a row with a workflow, or
            Stripe's id of the invoice of a payment retry.
        stack: `stack.json` of a running stack, or its folder; None takes the settings.
        environ: The settings as environment variables.
        run_id: Run of the workflow; None takes the newest run.

    Raises:
        NotFoundError: There is no such file or workflow, or no stack.
        InvalidInputError: The file does not hold a workflow history.
        UnavailableError: The database does not answer.
        RuntimeError: Temporal cannot be reached.
    """
    path = Path(target)
    if path.suffix == ".json" or path.is_file():  # noqa: ASYNC240 - once, at the start
        return read_history(path)
    try:
        temporal = find_temporal(stack, environ)
    except TargetError as error:
        reason = "; ".join(map(str, error.args))
        raise NotFoundError(
            f"cannot look for the workflow {target}: {reason}. The name of a history file must "
            "end in .json",
        ) from error
    client = await connect_to(temporal)
    row_id = _uuid(target)
    workflow_ids = [make(row_id) for make in _WORKFLOW_IDS] if row_id else [target]
    if target.startswith(INVOICE_PREFIX):
        workflow_ids = [payment_retry_workflow_id(target)]
    for workflow_id in workflow_ids:
        history = await _fetch(client, workflow_id, run_id)
        if history is not None:
            return history
    database_url = find_database_url(stack, environ)
    if row_id is not None and database_url is not None:
        invoice_id = await _invoice_of_payment_retry(row_id, database_url)
        if invoice_id is not None:
            return await fetch_history(temporal, payment_retry_workflow_id(invoice_id), run_id)
    of_run = f" with the run {run_id}" if run_id else ""
    raise NotFoundError(f"there is no workflow {target}{of_run} at {temporal.address}")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _invoice_of_payment_retry(payment_retry_id: UUID, database_url: str) -> str | None:
    """Return Stripe's id of the invoice of a payment retry, if there is one with this id."""
    engine = make_engine(database_url)
    try:
        async with make_sessions(engine)() as session:
            row = await PaymentRetryRepository(session).get(payment_retry_id, None)
    except DATABASE_DOWN as error:
        raise UnavailableError(
            f"cannot look for a payment retry {payment_retry_id}: the database does not answer",
            "database_unavailable",
        ) from error
    finally:
        await engine.dispose()
    return row.stripe_invoice_id if row else None


def read_history(path: Path) -> WorkflowHistory:
    """Read a history from a JSON file of `temporal workflow show --output json` or of the API.

    Args:
        path: The history file.

    Returns:
        The history; its workflow id is the file's name without the extension.

    Raises:
        NotFoundError: There is no such file.
        InvalidInputError: The file does not hold a workflow history.
    """
    try:
        return WorkflowHistory.from_json(path.stem, path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except (ParseError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInputError(f"{path} does not hold a workflow history: {reason}") from error


async def connect_to(temporal: TemporalSettings) -> Client:
    """Connect to Temporal.

    Args:
        temporal: Address, namespace and credentials of Temporal.

    Raises:
        RuntimeError: Temporal cannot be reached.
    """
    return await connect(
        temporal.address,
        temporal.namespace,
        temporal.api_key.get_secret_value() if temporal.api_key else None,
        is_tls=temporal.is_tls,
    )


async def fetch_history(
    temporal: TemporalSettings,
    workflow_id: str,
    run_id: str | None = None,
) -> WorkflowHistory:
    """Fetch the history of one run of a workflow.

    Args:
        temporal: Address, namespace and credentials of Temporal.
        workflow_id: Workflow whose history to fetch.
        run_id: Its run; None takes the newest run.

    Returns:
        The history so far; the workflow may still be running.

    Raises:
        NotFoundError: There is no such workflow.
        RuntimeError: Temporal cannot be reached.
    """
    history = await _fetch(await connect_to(temporal), workflow_id, run_id)
    if history is None:
        raise NotFoundError(f"there is no workflow {workflow_id} at {temporal.address}")
    return history


async def _fetch(client: Client, workflow_id: str, run_id: str | None) -> WorkflowHistory | None:
    try:
        if run_id is None:
            # Reason: without a run id, pages of the history could come from a run that a late
            # hint has started meanwhile.
            run_id = (await client.get_workflow_handle(workflow_id).describe()).run_id
        return await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    except RPCError as error:
        # Reason: Temporal calls a run id that is no UUID an invalid argument.
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return None
        raise


def record(history: WorkflowHistory, path: Path) -> None:
    """Save a history as a test case, without stack traces and worker identities.

    Args:
        history: The history to save.
        path: File to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    document = _anonymized(history.to_json_dict())
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _anonymized(value: Any) -> Any:
    if isinstance(value, list):
        return [_anonymized(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _anonymized(entry) for name, entry in value.items() if name != "stackTrace"}
    if "identity" in fields:
        fields["identity"] = RECORDER
    if fields.get("kind") == "TASK_QUEUE_KIND_STICKY":
        fields["name"] = RECORDER
    return fields
