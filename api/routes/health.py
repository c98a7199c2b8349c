"""Alive, ready, and how much of what."""

from contextlib import suppress
from typing import Literal, cast

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection
from temporalio.client import Client

from adapters.health import Finding, ModelsHealth, Probe, ping_chroma, ping_smtp, run_probes
from adapters.stripe.client import StripeHealth
from api.deps import SessionsDep, SettingsDep, TemporalDep
from database.agent_runs import AgentRunRepository
from database.parked import count_parked
from database.quiet import ping
from database.session import DATABASE_DOWN, Sessions
from domain.errors import UnavailableError
from observability import ACTIVE_AGENTS, METRICS_CONTENT_TYPE, PARKED_STEPS, render_metrics

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """How one dependency answered."""

    status: Literal["ok", "down"]
    latency_ms: float
    detail: str | None = None


class Readiness(BaseModel):
    """Whether all that the API needs answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "down",
                    "checks": {
                        "database": {"status": "ok", "latency_ms": 1.2, "detail": None},
                        "temporal": {
                            "status": "down",
                            "latency_ms": 2000.3,
                            "detail": "no answer within 2 s",
                        },
                    },
                },
            ],
        },
    )

    status: Literal["ok", "down"]
    checks: dict[str, Check]


@router.get("/health")
async def get_health() -> Health:
    """Tell that the process lives."""
    return Health()


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def get_readiness(
    connection: HTTPConnection,
    response: Response,
    settings: SettingsDep,
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> Readiness:
    """Ask each dependency; 503 if one does not answer."""
    mail = settings.mail
    probes: dict[str, Probe] = {
        "database": lambda: _ping_database(sessions),
        "temporal": lambda: _ping_temporal(temporal),
        "chroma": lambda: ping_chroma(settings.chroma_url),
        "stripe": _stripe(connection).ping,
        "llm": _models(connection).ping,
        "mail": lambda: ping_smtp(mail.smtp_host, mail.smtp_port, is_tls=mail.is_tls),
    }
    findings = await run_probes(probes)
    is_ready = all(finding.is_up for finding in findings.values())
    if not is_ready:
        response.status_code = 503
    checks = {name: _check(finding) for name, finding in findings.items()}
    return Readiness(status="ok" if is_ready else "down", checks=checks)


@router.get("/metrics", response_class=Response)
async def get_metrics(sessions: SessionsDep) -> Response:
    """Return the counts of all processes in Prometheus' text format."""
    # Reason: a run begins in one process and may end in another; the table knows how many there
    # are. While it is down, the other counts are of all the more interest.
    with suppress(*DATABASE_DOWN):
        async with sessions() as session:
            ACTIVE_AGENTS.set(await AgentRunRepository(session).active_count())
            for count in await count_parked(session):
                PARKED_STEPS.labels(count.resource).set(count.step_count)
    return Response(render_metrics(), media_type=METRICS_CONTENT_TYPE)


def _check(finding: Finding) -> Check:
    return Check(
        status="ok" if finding.is_up else "down",
        latency_ms=finding.latency_ms,
        detail=finding.detail,
    )


async def _ping_database(sessions: Sessions) -> None:
    async with sessions() as session:
        await ping(session)


async def _ping_temporal(temporal: Client) -> None:
    if not await temporal.service_client.check_health():
        raise UnavailableError("Temporal is not serving", "temporal_unavailable")


def _stripe(connection: HTTPConnection) -> StripeHealth:
    return cast("StripeHealth", connection.app.state.stripe_health)


def _models(connection: HTTPConnection) -> ModelsHealth:
    return cast("ModelsHealth", connection.app.state.models_health)
