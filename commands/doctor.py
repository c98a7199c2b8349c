"""Check every setting and every dependency, and say what is wrong."""

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

from adapters.embeddings import open_embedder
from adapters.health import ModelsHealth, ping_chroma, ping_smtp
from adapters.stripe.client import StripeHealth, open_client
from agents.registry import all_agents
from bootstrap.clients import connect_temporal
from commands.findings import CheckDoubtfulError, CheckFailedError, CheckResult
from commands.open_runs import check_open_runs
from commands.paid_checks import check_tool_calls, model_names, prices_of
from commands.parked import check_parked_steps
from commands.stripe.checks import check_endpoint, check_portal
from commands.targets import Target
from config import MailSecurity, Settings
from database.session import make_engine
from domain.errors import ApplicationError, UnavailableError
from domain.llm.messages import TokenUsage
from workflows.search_attributes import NAMES

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 10.0
PAID_PATIENCE_SECONDS = 180.0


Check = Callable[[], Awaitable[str]]


async def examine(
    settings: Settings,
    facts: dict[str, Any] | None = None,
    stack: Path | None = None,
    *,
    is_paid: bool = False,
) -> list[CheckResult]:
    """Ask everything that the product needs.

    Args:
        settings: Which were understood already.
        facts: What `stack.json` says, if a running stack is examined.
        stack: What the person named with --stack, if anything.
        is_paid: Whether models may be asked for something that costs.

    Returns:
        One finding a check.
    """
    place = Target.of(stack, facts)
    checks: dict[str, Check] = {
        "database": lambda: _database(settings),
        "Temporal": lambda: _temporal(settings),
        "Stripe": lambda: _stripe(settings),
        "webhook secret": lambda: check_webhook_secret(settings),
        "webhook endpoint": lambda: check_endpoint(settings, place),
        "customer portal": lambda: check_portal(settings, place),
        "parked steps": lambda: check_parked_steps(settings),
        "agent runs": lambda: check_open_runs(settings),
        "Chroma": lambda: _chroma(settings),
        "models": lambda: _models(settings),
        "prices": lambda: _prices(settings),
        "embeddings": lambda: _embeddings(settings),
        "agents": _agents,
        "mail": lambda: _mail(settings, facts),
        "metrics": lambda: _metrics(settings),
    }
    asked = [_ask(what, check, PATIENCE_SECONDS) for what, check in checks.items()]
    if is_paid:
        patience = PAID_PATIENCE_SECONDS
        asked.append(_ask("tool calls", lambda: check_tool_calls(settings), patience))
    return list(await asyncio.gather(*asked))


def show(console: Console, findings: list[CheckResult]) -> int:
    """Print the findings as a table.

    Args:
        console: Where to.
        findings: What was found.

    Returns:
        0 if all is well, else 1.
    """
    table = Table("", "what", "found", box=None, header_style="dim")
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_well else "[red]✗[/]"
        mark = "[yellow]![/]" if finding.is_doubtful else mark
        table.add_row(mark, finding.what, escape(finding.detail))
    console.print(table)
    ill = [finding.what for finding in findings if not finding.is_well]
    doubts = [finding.what for finding in findings if finding.is_doubtful]
    if doubts:
        console.print(f"[yellow]look at: {', '.join(doubts)}[/]")
    console.print(f"[red]not well: {', '.join(ill)}[/]" if ill else "[green]all is well[/]")
    return 1 if ill else 0


async def _ask(what: str, check: Check, patience_seconds: float) -> CheckResult:
    try:
        async with asyncio.timeout(patience_seconds):
            return CheckResult(what, is_well=True, detail=await check())
    except CheckDoubtfulError as error:
        return CheckResult(what, is_well=True, detail=str(error), is_doubtful=True)
    except TimeoutError:
        return CheckResult(what, is_well=False, detail=f"no answer within {patience_seconds:.0f} s")
    except ApplicationError as error:
        return CheckResult(what, is_well=False, detail=" ".join(error.message.split()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        words = str(error).strip().splitlines() or [type(error).__name__]
        return CheckResult(what, is_well=False, detail=words[0])


async def _database(settings: Settings) -> str:
    scripts = ScriptDirectory.from_config(Config(PROJECT / "alembic.ini"))
    engine = make_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            seen = await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_heads(),
            )
    finally:
        await engine.dispose()
    if set(seen) != set(scripts.get_heads()):
        at = ", ".join(seen) or "nothing"
        raise CheckFailedError(f"answers, but is at {at}: run `python cli.py migrate`")
    return f"answers, migrated to {', '.join(seen)}"


async def _temporal(settings: Settings) -> str:
    temporal = settings.temporal
    try:
        client = await connect_temporal(settings)
    except RuntimeError as error:
        raise CheckFailedError(f"{temporal.address} does not answer") from error
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=temporal.namespace),
    )
    missing = [name for name in NAMES if name not in known.custom_attributes]
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
    return f"{stripe.api_base or 'Stripe itself'} takes the key, {mode} mode"


async def check_webhook_secret(settings: Settings) -> str:
    """Hold the webhooks' secret against the one that everybody knows.

    Args:
        settings: What to check.

    Returns:
        What is well.

    Raises:
        CheckFailedError: Stripe itself is to sign with the sandbox's secret.
    """
    stripe = settings.stripe
    if stripe.has_known_secret and stripe.is_stripe_itself:
        raise CheckFailedError("STRIPE__WEBHOOK_SECRET is the sandbox's, which everybody knows")
    return "set"


async def _chroma(settings: Settings) -> str:
    try:
        await ping_chroma(settings.chroma_url)
    except httpx.HTTPError as error:
        raise CheckFailedError(f"{settings.chroma_url} does not answer") from error
    return settings.chroma_url


async def _models(settings: Settings) -> str:
    llm = settings.llm
    health = ModelsHealth(llm.provider, llm.base_url, llm.api_key.get_secret_value())
    try:
        await health.ping()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise CheckFailedError(f"{health.url} answers {status}: look at LLM__BASE_URL") from error
    except httpx.HTTPError as error:
        raise CheckFailedError(f"{health.url} does not answer") from error
    return f"{health.url} answers; provider {llm.provider}, model {llm.model}"


async def _prices(settings: Settings) -> str:
    prices, names = prices_of(settings.llm), model_names(settings.llm)
    await prices.load()
    unknown = [name for name in names if not prices.cost(name, TokenUsage()).is_priced]
    if unknown:
        raise CheckDoubtfulError(
            f"nobody knows what {', '.join(unknown)} costs: it counts as nothing, and a budget in "
            "cents refuses it; set LLM__PROMPT_CENTS_PER_MILLION and "
            "LLM__COMPLETION_CENTS_PER_MILLION"
        )
    return f"known for {', '.join(names)}"


async def _embeddings(settings: Settings) -> str:
    given = settings.embeddings
    key = given.api_key.get_secret_value()
    async with open_embedder(given.base_url, key, given.model) as embedder:
        try:
            vectors = await embedder.embed(["doctor"])
        except UnavailableError as error:
            where = f"{given.base_url}: " if given.base_url else ""
            raise CheckFailedError(f"{where}{error.message}") from error
    where = given.base_url or "in the worker"
    return f"{embedder.model} {where}, {len(vectors[0])} numbers a text"


async def _agents() -> str:
    agents = all_agents().values()
    if not agents:
        raise CheckFailedError("there is no agent's spec in agents/specs")
    return ", ".join(f"{agent.name} with prompt {agent.prompt_version}" for agent in agents)


async def _mail(settings: Settings, facts: dict[str, Any] | None) -> str:
    # Reason: stack.json has the address where mails are read; the API knows where they are sent.
    if facts is not None and str(facts["mail"]).startswith("http"):
        async with httpx.AsyncClient(base_url=facts["api"]) as api:
            checks = (await api.get("/health/ready")).json()["checks"]
        if checks["mail"]["status"] != "ok":
            raise CheckFailedError(f"the API cannot reach it: {checks['mail']['detail']}")
        return f"{facts['mail']}, reached by the API"
    mail = settings.mail
    address = f"{mail.smtp_host}:{mail.smtp_port}"
    try:
        await ping_smtp(mail.smtp_host, mail.smtp_port, is_tls=mail.tls is MailSecurity.IMPLICIT)
    except OSError as error:
        raise CheckFailedError(f"{address} does not answer as a mail server") from error
    return address


async def _metrics(settings: Settings) -> str:
    folder = settings.prometheus_multiproc_dir
    if folder is None:
        return "every process counts for itself"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise CheckFailedError(
            f"PROMETHEUS_MULTIPROC_DIR {folder} is no folder that can be written"
        )
    return f"counted together in {folder}"
