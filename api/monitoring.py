"""Health probes of the API's dependencies, and the pages of its monitoring port."""

from contextlib import suppress

from temporalio.client import Client

from adapters.email.settings import MailSecurity
from adapters.health import ModelsHealth, Probe, ping_chroma, ping_smtp
from adapters.status_server import Page, Pages
from adapters.stripe.client import StripeHealth
from api.routes.health import DATABASE
from api.worker_metrics import count_workers
from config import Settings
from database.agents.agent_runs import AgentRunRepository
from database.open_work import ping
from database.parked_steps import count_parked
from database.session import DATABASE_DOWN, Sessions
from domain.errors import UnavailableError
from observability.metrics import METRICS_CONTENT_TYPE, PARKED_STEPS, active_agents, render_metrics


def make_probes(
    settings: Settings,
    sessions: Sessions,
    temporal: Client,
    stripe: StripeHealth,
) -> dict[str, Probe]:
    """Build one health probe per dependency, by the dependency's name."""
    mail, llm = settings.mail, settings.llm
    is_implicit = mail.tls is MailSecurity.IMPLICIT
    models = ModelsHealth(llm.provider, llm.base_url, llm.api_key.get_secret_value())
    probes: dict[str, Probe] = {
        DATABASE: lambda: _ping_database(sessions),
        "temporal": lambda: _ping_temporal(temporal),
        "chroma": lambda: ping_chroma(settings.chroma_url),
        "stripe": stripe.ping,
        "llm": models.ping,
        "mail": lambda: ping_smtp(mail.smtp_host, mail.smtp_port, is_tls=is_implicit),
    }
    if (second := llm.make_fallback()) is not None:
        probes["llm_fallback"] = ModelsHealth(second.provider, second.base_url, second.api_key).ping
    return probes


def make_pages(sessions: Sessions, temporal: Client) -> Pages:
    """Build the pages that the API serves on its monitoring port."""

    async def metrics() -> Page:
        # Reason: a run may begin in one process and end in another, so the rows are counted.
        # While the database is down, the other metrics are served all the same.
        with suppress(*DATABASE_DOWN):
            async with sessions() as session:
                active_agents().set(await AgentRunRepository(session).active_count())
                for count in await count_parked(session):
                    PARKED_STEPS.labels(count.resource).set(count.step_count)
        # Reason: no worker can tell that there is no worker.
        await count_workers(temporal)
        return Page(render_metrics(), METRICS_CONTENT_TYPE)

    return {"/metrics": metrics}


async def _ping_database(sessions: Sessions) -> None:
    async with sessions() as session:
        await ping(session)


async def _ping_temporal(temporal: Client) -> None:
    if not await temporal.service_client.check_health():
        raise UnavailableError("Temporal reports that it is not serving", "temporal_unavailable")
