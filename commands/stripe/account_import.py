"""Imports a Stripe account, shows the progress, and starts the payment retries of an import."""

import asyncio
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.errors import from_temporal
from bootstrap.clients import connect_temporal, open_sessions
from commands.stripe.mapping import read_mapping, store_mapping
from config import Settings
from database.accounts.imported_customers import ImportedCustomerRepository
from database.accounts.models import ImportedCustomer
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.ids import STRIPE_IMPORT_WORKFLOW_ID, payment_retry_workflow_id
from domain.payment_retries.messages import RetryCommand, RetryCommandKind
from domain.subscriptions.adoption.imports import (
    ImportCounts,
    ImportPhase,
    ImportProgress,
    ImportStatus,
    StripeImportStart,
)
from domain.workflow_names import (
    BILLING,
    IMPORT_PROGRESS,
    RETRY_COMMAND,
    STRIPE_IMPORT_WORKFLOW,
)

Import = WorkflowHandle[Any, Any]
PAGE_SIZE = 500
SHOWN_COUNT = 10
POLL_SECONDS = 1.0
# Reason: their first charges become due as far apart as they were started.
STARTS_PER_SECOND = 5.0


async def run_import(
    settings: Settings, console: Console, mapping: Path | None, report: Path | None
) -> ImportCounts:
    """Store the mapping, import the account by the workers, and print what became of it.

    Args:
        settings: Settings of the database and of Temporal.
        console: Where the progress and the result are printed.
        mapping: CSV file of customers and users; None keeps the mapping of earlier imports.
        report: CSV file to write; None writes none.

    Returns:
        Counts of the import.

    Raises:
        MappingError: The mapping is wrong, and nothing was done.
        ApplicationError: Temporal cannot be reached.
    """
    temporal = await connect_temporal(settings)
    async with open_sessions(settings) as sessions:
        if mapping is not None:
            count = await store_mapping(sessions, mapping, read_mapping(mapping))
            console.print(f"{mapping}: {count} customers with their users")
        try:
            counts = await _watch(console, await start_import(temporal))
        except TemporalError as error:
            raise from_temporal(error) from error
        await _print_result(sessions, console, counts)
        if report is not None:
            console.print(f"{report}: {await _write_report(sessions, report)} customers")
    return counts


async def start_import(temporal: Client) -> Import:
    """Start the import, or return the one that is under way."""
    # Reason: by name, because the class would bring all activities into the command line.
    return await temporal.start_workflow(
        STRIPE_IMPORT_WORKFLOW,
        StripeImportStart(),
        id=STRIPE_IMPORT_WORKFLOW_ID,
        task_queue=BILLING,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary="import the Stripe account",
        result_type=ImportCounts,
    )


async def start_imported_retries(settings: Settings, say: Callable[[str], None]) -> int:
    """Start all payment retries that an import has left paused; return how many there were.

    Raises:
        ApplicationError: Temporal cannot be reached; a repeated call starts the rest.
    """
    temporal = await connect_temporal(settings)
    count, after = 0, None
    async with open_sessions(settings) as sessions:
        while True:
            async with sessions() as session:
                page = await PaymentRetryRepository(session).imported(after, PAGE_SIZE)
            for row in page:
                await _release(temporal, row.stripe_invoice_id)
                await asyncio.sleep(1 / STARTS_PER_SECOND)
            count += len(page)
            if len(page) < PAGE_SIZE:
                break
            after = page[-1].payment_retry_id
    say(f"{count} payment retries started; each waits by its policy before it charges")
    return count


async def _release(temporal: Client, stripe_invoice_id: str) -> None:
    handle = temporal.get_workflow_handle(payment_retry_workflow_id(stripe_invoice_id))
    try:
        await handle.signal(RETRY_COMMAND, RetryCommand(kind=RetryCommandKind.RELEASE))
    except RPCError as error:
        # Reason: it may have ended since it was read, because its invoice was paid.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise from_temporal(error) from error


async def _watch(console: Console, running: Import) -> ImportCounts:
    """Show the progress until the import is done; a dead worker only delays it."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    result = asyncio.create_task(running.result())
    with Progress(*columns, console=console) as bar:
        # Reason: Stripe's lists do not tell how many entries they have.
        task = bar.add_task("starting", total=None)
        while not result.done():
            if (progress := await _progress(running)) is not None:
                bar.update(task, description=_line(progress))
            await asyncio.wait([result], timeout=POLL_SECONDS)
        bar.update(task, description="done", total=1, completed=1)
    counts: ImportCounts = await result
    return counts


async def _progress(running: Import) -> ImportProgress | None:
    try:
        progress: ImportProgress = await running.query(IMPORT_PROGRESS, result_type=ImportProgress)
    except (RPCError, TemporalError):
        return None  # no worker answers at the moment
    return progress


def _line(progress: ImportProgress) -> str:
    counts = progress.counts
    if progress.phase is ImportPhase.CUSTOMERS:
        return f"customers: {counts.customer_count} read, {counts.linked_count} linked"
    return f"subscriptions: {counts.subscription_count} read, {counts.adopted_count} new"


async def _print_result(sessions: Sessions, console: Console, counts: ImportCounts) -> None:
    async with sessions() as session:
        repository = ImportedCustomerRepository(session)
        by_status = await repository.counts()
        left = await repository.not_linked("", SHOWN_COUNT)
    refused, missing = by_status.get(ImportStatus.REFUSED, 0), by_status.get(ImportStatus.MAPPED, 0)
    unlinked = by_status.get(ImportStatus.UNLINKED, 0)
    console.print(f"customers: {counts.customer_count}, {counts.linked_count} of them linked")
    console.print(f"  without a user: {unlinked}; mapping refused: {refused}")
    console.print(f"  in the mapping, but not at Stripe: {missing}")
    console.print(f"cards: {counts.card_count}")
    console.print(f"subscriptions: {counts.subscription_count} that have not ended")
    console.print(f"  new: {counts.adopted_count}; known before: {counts.known_count}")
    console.print(f"  of customers without a user: {counts.ownerless_count}")
    console.print(f"  of a price without a plan: {counts.planless_count}")
    for row in left:
        console.print(
            f"  {row.stripe_customer_id}: {row.import_status} {row.refusal or ''}".rstrip()
        )
    if unlinked + refused + missing > len(left):
        console.print("  … (--report writes all of them)")


async def _write_report(sessions: Sessions, path: Path) -> int:
    """Write the customers that belong to no user, and return how many there are."""
    count, after = 0, ""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["stripe_customer_id", "import_status", "refusal"])
        while True:
            async with sessions() as session:
                page: Sequence[ImportedCustomer] = await ImportedCustomerRepository(
                    session
                ).not_linked(after, PAGE_SIZE)
            rows = [(row.stripe_customer_id, row.import_status, row.refusal) for row in page]
            table.writerows(rows)
            count += len(page)
            if len(page) < PAGE_SIZE:
                return count
            after = page[-1].stripe_customer_id
