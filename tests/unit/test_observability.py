import json
import os
import subprocess
import sys
from pathlib import Path

NAMES = (
    "payment_attempts_total",
    "payment_amount_cents",
    "webhook_events_total",
    "webhook_lag_seconds",
    "agent_requests_total",
    "agent_duration_seconds",
    "active_agents",
    "llm_requests_total",
    "llm_tokens_total",
    "llm_cost_cents_total",
    "circuit_breaker_state",
    "tool_calls_total",
)


def run(code: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: the kind of storage is chosen at import."""
    environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    if folder is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # Left by os._exit, as our processes are: the SDK sometimes aborts at interpreter exit.
    ending = "\nimport sys, os; sys.stdout.flush(); sys.stderr.flush(); os._exit(0)"
    return subprocess.run(
        [sys.executable, "-c", code + ending],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


RENDER = "import observability.metrics as o; print(o.render_metrics().decode())"
COUNT = (
    "import observability.metrics as o;"
    "o.PAYMENT_ATTEMPTS.labels('scheduled', 'failed').inc();"
    "o.PAYMENT_AMOUNT_CENTS.labels('usd', 'failed').observe(2900);"
    "o.webhook_lag().observe(0.02)"
)


def test_names_are_there_before_anything_was_counted(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "counts"):
        text = run(RENDER, folder).stdout
        for name in NAMES:
            assert f"# HELP {name} " in text
            assert f"# TYPE {name} " in text


def test_counts_of_living_and_dead_processes_are_added_up(tmp_path: Path) -> None:
    for _ in range(2):
        run(COUNT, tmp_path)
    (tmp_path / "counter_999999.db").touch()  # killed before its first count
    text = run(f"{COUNT}; print(o.render_metrics().decode())", tmp_path).stdout
    assert 'payment_attempts_total{outcome="failed",trigger="scheduled"} 3.0' in text
    assert 'payment_amount_cents_bucket{currency_code="usd",le="5000.0",outcome="failed"} 3.0' in (
        text
    )
    assert "webhook_lag_seconds_count 3.0" in text
    assert all(text.count(f"# TYPE {name} ") == 1 for name in NAMES)


def test_a_dead_process_has_nothing_in_flight(tmp_path: Path) -> None:
    gauge = (
        "import observability.metrics as o; from prometheus_client import Gauge;"
        "Gauge('in_flight', 'now', multiprocess_mode='livesum').set(4)"
    )
    run(gauge, tmp_path)
    assert list(tmp_path.glob("gauge_livesum_*.db"))
    assert "in_flight" in run(f"{gauge}; print(o.render_metrics().decode())", tmp_path).stdout
    assert "in_flight" not in run(RENDER, tmp_path).stdout


def test_a_dead_process_leaves_no_breaker_open_and_no_agent_active(tmp_path: Path) -> None:
    dead = "import observability.metrics as o; o.CIRCUIT_BREAKER_STATE.labels('m').set(2)"
    run(f"{dead}; o.active_agents().set(7)", tmp_path)
    living = "import observability.metrics as o; o.CIRCUIT_BREAKER_STATE.labels('m').set(1)"
    text = run(
        f"{living}; o.active_agents().set(3); print(o.render_metrics().decode())",
        tmp_path,
    ).stdout
    assert 'circuit_breaker_state{model="m"} 1.0' in text
    assert "active_agents 3.0" in text
    assert "circuit_breaker_state{" not in run(RENDER, tmp_path).stdout


def test_every_log_line_is_json_with_its_context() -> None:
    lines = run(
        """
import logging, structlog
from observability.logging import configure_logging
configure_logging("info")
structlog.contextvars.bind_contextvars(request_id="r1", user_id="u1")
structlog.get_logger("ours").info("said", amount=3, odd=object, nested={1: "x"})
structlog.get_logger("ours").debug("kept quiet")
logging.getLogger("theirs").warning("%s of %d", "one", 2)
logging.getLogger("temporal").info("step", extra={"temporal_workflow":
    {"workflow_id": "w1", "workflow_type": "T", "namespace": "default"}})
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("broke")
""",
    ).stderr.splitlines()
    said, theirs, step, broke = [json.loads(line) for line in lines]
    assert (said["event"], said["amount"], said["request_id"]) == ("said", 3, "r1")
    assert said["level"] == "info"
    assert said["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["user_id"], theirs["logger"]) == ("one of 2", "u1", "theirs")
    assert (step["workflow_id"], step["task_type"]) == ("w1", "T")
    assert "temporal_workflow" not in step
    assert "ZeroDivisionError" in broke["exception"]


def test_an_import_has_no_side_effect(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    modules = ("observability.logging", "observability.metrics", "observability.temporal")
    told = run(f"import logging, {', '.join(modules)}; print(logging.getLogger().handlers)", folder)
    assert (told.stdout.strip(), folder.exists()) == ("[]", False)


def test_extras_of_a_line_and_warnings_of_python_are_in_the_log() -> None:
    lines = run(
        """
import logging, warnings
from observability.logging import configure_logging
configure_logging("info")
logging.getLogger("temporalio.workflow").error("step_parked", extra={"step": "sync", "code": "c"})
warnings.warn("old", DeprecationWarning, stacklevel=1)
warnings.warn("odd", stacklevel=1)
""",
    ).stderr.splitlines()
    parked, *warned = [json.loads(line) for line in lines]
    assert (parked["event"], parked["step"], parked["code"]) == ("step_parked", "sync", "c")
    assert [each["logger"] for each in warned] == ["py.warnings"] * len(warned)
    assert "odd" in warned[-1]["event"]


def test_temporals_runtime_opens_no_port() -> None:
    code = """
import psutil
from observability.temporal import make_runtime
kept = make_runtime()
print([c.laddr for c in psutil.Process().net_connections() if c.status == "LISTEN"])
"""
    assert run(code).stdout.strip() == "[]"


SECRETS = (
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "whsec_Zm9vYmFyZm9v",
    "sk_test_51abcdef",
    "rk_live_51abcdef",
    "perdure_" + "x" * 43,
    "pi_1_secret_Abc123456",
    "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g",
    "postgresql://perdure:hunter2hunter2@127.0.0.1:5432/perdure",
    "pk_" + "y" * 43,
    "/ws/agent-runs/1?ticket=abcdef.ghijkl",
    "Bearer abcdefgh",
)
LOG = (
    "import logging, structlog, observability.logging as o;"
    "o.configure_logging('INFO');"
    "[structlog.get_logger('x').info('said', what=each, deep=[{'in': each}]) for each in SECRETS];"
    "[logging.getLogger('y').warning('said %s', each) for each in SECRETS];"
    "logging.getLogger('uvicorn.error').info('%s - \"WebSocket %s\" [accepted]', 'a', '/?x=tell')"
)


def test_no_line_has_a_secret() -> None:
    told = run(LOG.replace("SECRETS", repr(SECRETS))).stderr
    lines = [json.loads(line) for line in told.splitlines()]
    assert len(lines) == 2 * len(SECRETS)
    for secret in SECRETS:
        assert secret not in told
    assert "hunter2" not in told
    assert "tell" not in told
    assert "127.0.0.1:5432/perdure" in told
