"""Makes the runtime of Temporal's SDK, which decides where its logs and metrics go."""

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter


def make_runtime() -> Runtime:
    """Return a Temporal runtime that logs warnings only and opens no port for metrics."""
    chosen = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=chosen)))
