"""Routes for liveness and readiness."""

from http import HTTPStatus
from typing import Literal, cast

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from adapters.health import HealthResult
from api.readiness import Readiness

DATABASE = "database"

router = APIRouter(tags=["health"])


class HealthOut(BaseModel):
    """The process is running."""

    status: Literal["ok"] = "ok"


class CheckOut(BaseModel):
    """Result of the check of one dependency."""

    status: Literal["ok", "down"]
    latency_ms: float
    detail: str | None = None


class ReadinessOut(BaseModel):
    """Whether all dependencies of the API answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "degraded",
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

    status: Literal["ready", "degraded", "down"]
    checks: dict[str, CheckOut]


@router.get("/", include_in_schema=False)
async def get_start() -> RedirectResponse:
    """Lead whoever opens the address of the API to its documentation."""
    return RedirectResponse("/docs", HTTPStatus.TEMPORARY_REDIRECT)


@router.get("/health/live")
@router.get("/health", include_in_schema=False)
async def get_health() -> HealthOut:
    """Return 200 as long as the process is running, whatever it depends on."""
    return HealthOut()


@router.get("/health/ready", responses={503: {"model": ReadinessOut}})
async def get_readiness(connection: HTTPConnection, response: Response) -> ReadinessOut:
    """Return the state of each dependency, seconds old at most; 503 if the database is down.

    Without the other dependencies the API still accepts webhooks, so it should stay in rotation.
    """
    readiness = cast("Readiness", connection.app.state.readiness)
    checks = {name: _check(finding) for name, finding in (await readiness.check()).items()}
    if checks[DATABASE].status != "ok":
        response.status_code = 503
        return ReadinessOut(status="down", checks=checks)
    is_ready = all(check.status == "ok" for check in checks.values())
    return ReadinessOut(status="ready" if is_ready else "degraded", checks=checks)


def _check(finding: HealthResult) -> CheckOut:
    return CheckOut(
        status="ok" if finding.is_up else "down",
        latency_ms=finding.latency_ms,
        detail=finding.detail,
    )
