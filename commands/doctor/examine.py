"""Checks every setting and every dependency, and prints the results."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

from adapters.email.settings import MailSecurity
from adapters.embeddings import open_embedder
from adapters.health import ping_chroma, ping_smtp
from adapters.stripe.client import StripeHealth, open_client
from agents.registry import all_agents
from bootstrap.clients import connect_temporal
from bootstrap.tools import load_agents, make_tool_catalog
from commands.doctor.deploy import check_task_queues, check_workers, check_workflow_tasks
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError, CheckResult
from commands.doctor.open_runs import check_open_runs
from commands.doctor.paid import check_tool_calls
from commands.doctor.parked import check_parked_steps
from commands.doctor.providers import check_models, check_prices
from commands.doctor.reconciliation import check_reconciliation
from commands.doctor.tools import check_tools
from commands.doctor.usage import check_meter_events
from commands.doctor.webhook_endpoints import check_webhook_endpoints
from commands.stripe.checks import check_endpoint, check_portal
from commands.targets import Target
from config import Settings
from database.session import make_engine
from domain.errors import ApplicationError, UnavailableError
from workflows.search_attributes import NAMES

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 10.0
PAID_SECONDS = 180.0


Check = Callable[[], Awaitable[str]]


async def examine(
    settings: Settings,
    facts: dict[str, Any] | None = None,
    stack: Path | None = None,
    *,
    is_paid: bool = False,
) -> list[CheckResult]:
    """Run all checks at the same time.

    Args:
        settings: The settings, which are valid already.
        facts: Content of `stack.json`, if a running stack is checked.
        stack: Value of the option --stack; None if it was not given.
        is_paid: Whether to run the check that makes paid model calls.

    Returns:
        One result per check.
    """
    target = Target.of(stack, facts)
    checks: dict[str, Check] = {
        "database": lambda: _database(settings),
        "Temporal": lambda: _temporal(settings),
        "task queues": lambda: check_task_queues(settings),
        "workers": lambda: check_workers(settings, facts),
        "workflow tasks": lambda: check_workflow_tasks(settings),
        "Stripe": lambda: _stripe(settings),
        "webhook secret": lambda: check_webhook_secret(settings),
        "webhook endpoint": lambda: check_endpoint(settings, target),
        "customer portal": lambda: check_portal(settings, target),
        "webhooks out": lambda: check_webhook_endpoints(settings),
        "parked steps": lambda: check_parked_steps(settings),
        "meter events": lambda: check_meter_events(settings),
        "tools": lambda: check_tools(settings),
        "reconciliation": lambda: check_reconciliation(settings),
        "agent runs": lambda: check_open_runs(settings),
        "Chroma": lambda: _chroma(settings),
        "models": lambda: check_models(settings),
        "prices": lambda: check_prices(settings),
        "embeddings": lambda: _embeddings(settings),
        "agents": lambda: _agents(settings),
        "mail": lambda: _mail(settings, facts),
        "metrics": lambda: _metrics(settings),
    }
    if facts is not None:
        checks["API"] = lambda: _api(str(facts["api"]))
        del checks["metrics"]  # Reason: only the stack's own processes know where they keep them.
    running = [_run_check(what, check, TIMEOUT_SECONDS) for what, check in checks.items()]
    if is_paid:
        running.append(_run_check("tool calls", lambda: check_tool_calls(settings), PAID_SECONDS))
    return list(await asyncio.gather(*running))


def show(console: Console, findings: list[CheckResult]) -> int:
    """Print the results as a table.

    Args:
        console: Console to print on.
        findings: The results of the checks.

    Returns:
        Exit code: 0 if no check failed, else 1.
    """
    table = Table("", "check", "result", box=None, header_style="dim")
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_passed else "[red]✗[/]"
        mark = "[yellow]![/]" if finding.is_warning else mark
        table.add_row(mark, finding.what, escape(finding.detail))
    console.print(table)
    failed = [finding.what for finding in findings if not finding.is_passed]
    warnings = [finding.what for finding in findings if finding.is_warning]
    if warnings:
        console.print(f"[yellow]warnings: {', '.join(warnings)}[/]")
    console.print(f"[red]failed: {', '.join(failed)}[/]" if failed else "[green]no check failed[/]")
    return 1 if failed else 0


async def _run_check(what: str, check: Check, timeout_seconds: float) -> CheckResult:
    try:
        async with asyncio.timeout(timeout_seconds):
            return CheckResult(what, is_passed=True, detail=await check())
    except CheckDoubtfulError as error:
        return CheckResult(what, is_passed=True, detail=str(error), is_warning=True)
    except TimeoutError:
        return CheckResult(
            what, is_passed=False, detail=f"no answer within {timeout_seconds:.0f} s"
        )
    except ApplicationError as error:
        return CheckResult(what, is_passed=False, detail=" ".join(error.message.split()))
    except Exception as error:  # noqa: BLE001 - every error is a failed check
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return CheckResult(what, is_passed=False, detail=lines[0])


async def _database(settings: Settings) -> str:
    scripts = ScriptDirectory.from_config(Config(PROJECT / "alembic.ini"))
    engine = make_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            heads = await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_heads(),
            )
    finally:
        await engine.dispose()
    if set(heads) != set(scripts.get_heads()):
        at = ", ".join(heads) or "none"
        raise CheckFailedError(
            f"answers, but its newest migration is {at}: run `python cli.py migrate`"
        )
    return f"answers, migrated to {', '.join(heads)}"


async def _temporal(settings: Settings) -> str:
    temporal = settings.temporal
    try:
        client = await connect_temporal(settings)
    except RuntimeError as error:
        raise CheckFailedError(f"{temporal.address} does not answer") from error
    registered = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=temporal.namespace),
    )
    missing = [name for name in NAMES if name not in registered.custom_attributes]
    if missing:
        names = ", ".join(missing)
        raise CheckFailedError(
            f"search attributes are missing ({names}): run `python cli.py migrate`"
        )
    return f"{temporal.address}, namespace {temporal.namespace}, search attributes registered"


async def _stripe(settings: Settings) -> str:
    stripe = settings.stripe
    key = stripe.api_key.get_secret_value()
    async with open_client(key, stripe.api_base) as client:
        await StripeHealth(client).ping()
    mode = "LIVE" if key.startswith(("sk_live_", "rk_live_")) else "test"
    return f"{stripe.api_base or 'Stripe'} accepts the key, {mode} mode"


async def check_webhook_secret(settings: Settings) -> str:
    """Check that the webhook secret is not the sandbox's public one.

    Args:
        settings: Settings of Stripe.

    Returns:
        The finding as a line.

    Raises:
        CheckFailedError: The settings use the sandbox's secret with Stripe itself.
    """
    stripe = settings.stripe
    if stripe.has_known_secret and stripe.is_real_stripe:
        raise CheckFailedError("STRIPE__WEBHOOK_SECRET is the sandbox's secret, which is public")
    return "set"


async def _chroma(settings: Settings) -> str:
    try:
        await ping_chroma(settings.chroma_url)
    except httpx.HTTPError as error:
        raise CheckFailedError(f"{settings.chroma_url} does not answer") from error
    return settings.chroma_url


async def _embeddings(settings: Settings) -> str:
    embeddings = settings.embeddings
    key = embeddings.api_key.get_secret_value()
    async with open_embedder(embeddings.base_url, key, embeddings.model) as embedder:
        try:
            vectors = await embedder.embed(["doctor"])
        except UnavailableError as error:
            prefix = f"{embeddings.base_url}: " if embeddings.base_url else ""
            raise CheckFailedError(f"{prefix}{error.message}") from error
    server = embeddings.base_url or "in the worker"
    return f"{embedder.model} {server}, {len(vectors[0])} dimensions"


async def _agents(settings: Settings) -> str:
    load_agents(await asyncio.to_thread(make_tool_catalog, settings))
    agents = all_agents().values()
    if not agents:
        raise CheckFailedError("there is no agent spec in agents/specs")
    return ", ".join(f"{agent.name} with prompt {agent.prompt_version}" for agent in agents)


async def _mail(settings: Settings, facts: dict[str, Any] | None) -> str:
    # Reason: stack.json has the address to read mails at; only the API knows the SMTP address.
    if facts is not None and str(facts["mail"]).startswith("http"):
        try:
            async with httpx.AsyncClient(base_url=facts["api"]) as api:
                checks = (await api.get("/health/ready")).json()["checks"]
        except httpx.HTTPError as error:
            raise CheckDoubtfulError("the API, which would tell, does not answer") from error
        if checks["mail"]["status"] != "ok":
            detail = checks["mail"]["detail"]
            raise CheckFailedError(f"the API cannot reach the mail server: {detail}")
        return f"{facts['mail']}, reached by the API"
    mail = settings.mail
    address = f"{mail.smtp_host}:{mail.smtp_port}"
    try:
        await ping_smtp(mail.smtp_host, mail.smtp_port, is_tls=mail.tls is MailSecurity.IMPLICIT)
    except OSError as error:
        raise CheckFailedError(f"{address} does not answer as a mail server") from error
    return address


async def _api(address: str) -> str:
    try:
        async with httpx.AsyncClient(base_url=address) as api:
            reply = await api.get("/health/live")
    except httpx.HTTPError as error:
        raise CheckFailedError(f"{address} does not answer") from error
    if not reply.is_success:
        raise CheckFailedError(f"{address} answers {reply.status_code}")
    return address


async def _metrics(settings: Settings) -> str:
    folder = settings.prometheus_multiproc_dir
    if folder is None:
        return "each process has its own metrics"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise CheckFailedError(f"PROMETHEUS_MULTIPROC_DIR {folder} is not a writable folder")
    return f"the metrics of all processes are in {folder}"
