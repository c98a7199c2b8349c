"""Configures JSON logs, Prometheus metrics and the logs of Temporal's SDK.

The metrics of several processes (API and workers) are added up if `PROMETHEUS_MULTIPROC_DIR` names
a shared folder. The variable must be set before this module is imported, because prometheus-client
chooses its storage at import.
"""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

MULTIPROCESS_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if MULTIPROCESS_FOLDER:
    Path(MULTIPROCESS_FOLDER).mkdir(parents=True, exist_ok=True)

# Reason: prometheus-client reads the environment when it is imported; see above.
from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase  # noqa: E402
from prometheus_client.multiprocess import (  # noqa: E402
    MultiProcessCollector,
    mark_process_dead,
)
from prometheus_client.registry import Collector  # noqa: E402

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PAYMENT_ATTEMPTS = Counter(
    "payment_attempts_total",
    "Charges, by their trigger and outcome.",
    ["trigger", "outcome"],
)
PAYMENT_AMOUNT_CENTS = Histogram(
    "payment_amount_cents",
    "Amounts of charges, in minor units of their currency.",
    ["currency_code", "outcome"],
    buckets=(100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000),
)
STRIPE_ERRORS = Counter(
    "stripe_errors_total",
    "Errors of Stripe, by class: decline, outage, key_refused, rejection.",
    ["error_class"],
)
PARKED_STEPS = Gauge(
    "parked_steps",
    "Parked steps of subscriptions, payment retries and payments, as counted in the database.",
    ["resource"],
    multiprocess_mode="livemostrecent",
)
WEBHOOK_EVENTS = Counter(
    "webhook_events_total",
    "Webhook events of Stripe, by type and outcome.",
    ["event_type", "outcome"],
)
WEBHOOK_FOREIGN_VERSIONS = Counter(
    "webhook_foreign_versions_total",
    "Webhook events of Stripe in another API version than the one of this release.",
    ["api_version"],
)
WEBHOOK_LAG = Histogram(
    "webhook_lag_seconds",
    "Time from the receipt of a webhook event to its delivery to a workflow.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600),
)
AGENT_REQUESTS = Counter(
    "agent_requests_total",
    "Agent runs that ended, by outcome.",
    ["agent", "outcome"],
)
AGENT_DURATION = Histogram(
    "agent_duration_seconds",
    "Time from the start to the end of an agent run, including waits for people.",
    ["agent"],
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400),
)
ACTIVE_AGENTS = Gauge(
    "active_agents",
    "Agent runs under way, as counted in the database.",
    # Reason: a run may begin and end in different processes, so the gauge is set and never
    # incremented; the process that counted last is right.
    multiprocess_mode="livemostrecent",
)
LLM_REQUESTS = Counter(
    "llm_requests_total",
    "Model calls, by outcome.",
    ["model", "outcome"],
)
LLM_TOKENS = Counter(
    "llm_tokens_total",
    "Tokens as reported by models; kind is prompt or completion.",
    ["model", "kind"],
)
LLM_COST_CENTS = Counter(
    "llm_cost_cents_total",
    "Cost of model calls in US cents, where the price is known.",
    ["model"],
)
CIRCUIT_BREAKER_STATE = Gauge(
    "circuit_breaker_state",
    "State of a model's breaker, the worst of all processes: 0 closed, 1 half open, 2 open.",
    ["model"],
    # Reason: each process has its own breakers; those of a dead process do not count.
    multiprocess_mode="livemax",
)
TOOL_CALLS = Counter(
    "tool_calls_total",
    "Tool calls, by outcome.",
    ["tool", "outcome"],
)
_METRICS: tuple[MetricWrapperBase, ...] = (
    PAYMENT_ATTEMPTS,
    PAYMENT_AMOUNT_CENTS,
    STRIPE_ERRORS,
    PARKED_STEPS,
    WEBHOOK_EVENTS,
    WEBHOOK_FOREIGN_VERSIONS,
    WEBHOOK_LAG,
    AGENT_REQUESTS,
    AGENT_DURATION,
    ACTIVE_AGENTS,
    LLM_REQUESTS,
    LLM_TOKENS,
    LLM_COST_CENTS,
    CIRCUIT_BREAKER_STATE,
    TOOL_CALLS,
)


class _AllProcesses(Collector):
    """Collects the sums over all processes, including counters of dead ones."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        forget_dead_processes(self._folder)
        # Reason: a process killed right after it made its file leaves an empty, unreadable one.
        files = [str(file) for file in Path(self._folder).glob("*.db") if file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        seen = {metric.name: metric for metric in merged}
        # Reason: dashboards need the names of metrics that no process has counted yet.
        unseen = [
            metric for each in _METRICS for metric in each.describe() if metric.name not in seen
        ]
        return [*seen.values(), *unseen]


def render_metrics() -> bytes:
    """Return the metrics of all processes that share our folder, in Prometheus' text format."""
    if not MULTIPROCESS_FOLDER:
        return generate_latest()
    registry = CollectorRegistry()
    registry.register(_AllProcesses(MULTIPROCESS_FOLDER))
    return generate_latest(registry)


def forget_dead_processes(folder: str) -> None:
    """Delete the live gauges of processes that have died."""
    for file in Path(folder).glob("gauge_live*_*.db"):
        number = re.search(r"_(\d+)\.db$", file.name)
        if number and not Path("/proc", number[1]).exists() and Path("/proc/self").exists():
            mark_process_dead(int(number[1]), folder)  # type: ignore[no-untyped-call]


# Reason: one line per request tells nothing that metrics do not tell.
NOISY_LOGGERS = ("httpx", "httpx2", "stripe", "aiosmtplib")
# Format in which uvicorn logs the opening of a WebSocket, with its query, which has tickets.
_HANDSHAKE = '%s - "WebSocket %s"'
# Secrets that must not be in any log.
_SECRETS = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+"  # tokens and tickets
    r"|whsec_[\w+/=-]{8,}"
    r"|\b[srp]k_(?:test|live)_\w+|\b(?:pk|perdure)_[\w-]{30,}"  # Stripe's keys, and ours
    r"|(?<=_secret_)\w{6,}"
    r"|\$argon2\w*\$[^\s\"']+"
    r"|(?<=://)[^\s:/@\"]+:[^\s/@\"]+(?=@)"  # users and passwords in addresses
    r"|(?<=[?&]ticket=)[^&\s\"]+|(?<=Bearer )[^\s\"']+"
)
_HIDDEN = "[hidden]"


def configure_logging(level: str) -> None:
    """Configure structlog and the standard library to write each log entry as one line of JSON.

    `request_id`, `workflow_id`, `user_id`, `agent_id` and `task_type` are added from the context;
    bind them with `structlog.contextvars`.

    Args:
        level: Lowest level that is written, e.g. `INFO`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(_TEMPORAL_EXTRAS), _lift],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        ),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        # Reason: the API writes a line for each request itself, without the query.
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.error").addFilter(_is_no_handshake)
    if level.upper() != "DEBUG":
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Reason: the ids are separate fields, so the message need not repeat them.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


def make_runtime() -> Runtime:
    """Return a Temporal runtime that logs warnings only and opens no port for metrics."""
    chosen = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=chosen)))


_TEMPORAL_EXTRAS = ("temporal_workflow", "temporal_activity")
_LIFTED = {
    "workflow_id": "workflow_id",
    "run_id": "run_id",
    "workflow_type": "task_type",
    "activity_type": "task_type",
    "attempt": "attempt",
}


def _lift(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Move the facts in Temporal's extras to top-level fields with our names."""
    for extra in _TEMPORAL_EXTRAS:
        facts = event.pop(extra, None) or {}
        for theirs, ours in _LIFTED.items():
            if theirs in facts:
                event[ours] = facts[theirs]
    return event


def _to_json(event: EventDict, **_: object) -> str:
    """Render a log entry as JSON with secrets hidden; unknown types are written as text."""
    line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return _SECRETS.sub(_HIDDEN, line)


def _is_no_handshake(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_HANDSHAKE)
