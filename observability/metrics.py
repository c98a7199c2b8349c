"""Counts what happens, for Prometheus.

The metrics of several processes (API and workers) are added up if `PROMETHEUS_MULTIPROC_DIR` names
a shared folder. The variable must be set before this module is imported, because prometheus-client
chooses its storage at import. The folder is made by `make_metrics_folder`, at a process's start.
"""

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

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
TASK_QUEUE_POLLERS = Gauge(
    "task_queue_pollers",
    "Workers that poll a task queue, by kind of task; NaN while Temporal does not answer.",
    ["task_queue", "kind"],
    multiprocess_mode="livemostrecent",
)
FAILING_WORKFLOWS = Gauge(
    "failing_workflows",
    "Running workflows, by problem: workflow_task_failed; NaN while Temporal does not answer.",
    ["problem"],
    multiprocess_mode="livemostrecent",
)
METER_EVENTS = Counter(
    "meter_events_total",
    "Reports of usage beyond limits, by outcome: sent, rejected, outcome_unknown.",
    ["outcome"],
)
WEBHOOK_EVENTS = Counter(
    "webhook_events_total",
    "Webhook events of Stripe, by type and outcome.",
    ["event_type", "outcome"],
)
WEBHOOK_DELIVERIES = Counter(
    "webhook_deliveries_total",
    "Attempts at webhooks to endpoints, by outcome: delivered, failed, dropped.",
    ["outcome"],
)
WEBHOOK_FOREIGN_VERSIONS = Counter(
    "webhook_foreign_versions_total",
    "Webhook events of Stripe in another API version than the one of this release.",
    ["api_version"],
)
MAILS = Counter(
    "mails_total",
    "Mails, by kind and by how they ended: sent, dropped (the reason was gone), failed.",
    ["mail_kind", "outcome"],
)
RECONCILIATION_REPAIRS = Counter(
    "reconciliation_repairs_total",
    "Findings of reconciliations with Stripe, by kind.",
    ["kind"],
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
_LABELED: tuple[MetricWrapperBase, ...] = (
    PAYMENT_ATTEMPTS,
    PAYMENT_AMOUNT_CENTS,
    STRIPE_ERRORS,
    PARKED_STEPS,
    TASK_QUEUE_POLLERS,
    FAILING_WORKFLOWS,
    WEBHOOK_EVENTS,
    WEBHOOK_DELIVERIES,
    WEBHOOK_FOREIGN_VERSIONS,
    MAILS,
    RECONCILIATION_REPAIRS,
    AGENT_REQUESTS,
    AGENT_DURATION,
    LLM_REQUESTS,
    LLM_TOKENS,
    LLM_COST_CENTS,
    CIRCUIT_BREAKER_STATE,
    TOOL_CALLS,
)


# Reason: prometheus-client opens the file of a metric without labels when the metric is made, so
# these two are made at their first use and not at import.
@cache
def webhook_lag() -> Histogram:
    """Return the metric of the delivery times of webhook events."""
    return Histogram(
        "webhook_lag_seconds",
        "Time from the receipt of a webhook event to its delivery to a workflow.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600),
    )


@cache
def active_agents() -> Gauge:
    """Return the metric of the agent runs under way."""
    return Gauge(
        "active_agents",
        "Agent runs under way, as counted in the database.",
        # Reason: a run may begin and end in different processes, so the gauge is set and never
        # incremented; the process that counted last is right.
        multiprocess_mode="livemostrecent",
    )


def _all_metrics() -> tuple[MetricWrapperBase, ...]:
    return (*_LABELED, webhook_lag(), active_agents())


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
            metric
            for each in _all_metrics()
            for metric in each.describe()
            if metric.name not in seen
        ]
        return [*seen.values(), *unseen]


def render_metrics() -> bytes:
    """Return the metrics of all processes that share our folder, in Prometheus' text format."""
    folder = make_metrics_folder()
    _all_metrics()
    if folder is None:
        return generate_latest()
    registry = CollectorRegistry()
    registry.register(_AllProcesses(folder))
    return generate_latest(registry)


def make_metrics_folder() -> str | None:
    """Make the folder in which all processes share metrics, and return it; None if they do not."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return folder or None


def forget_dead_processes(folder: str) -> None:
    """Delete the live gauges of processes that have died."""
    for file in Path(folder).glob("gauge_live*_*.db"):
        number = re.search(r"_(\d+)\.db$", file.name)
        if number and not Path("/proc", number[1]).exists() and Path("/proc/self").exists():
            mark_process_dead(int(number[1]), folder)  # type: ignore[no-untyped-call]
