"""Makes the runtime of Temporal's SDK, which decides where its logs and metrics go."""

import logging
import socket

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from observability.logging import SDK_LOGGER

LOOPBACK = "127.0.0.1"


def make_runtime(metrics_port: int | None = None) -> Runtime:
    """Return a runtime of the SDK that writes its warnings to our log.

    Args:
        metrics_port: Loopback port on which the SDK serves its metrics; None for no port.
    """
    forwarding = LogForwardingConfig(
        logger=logging.getLogger(SDK_LOGGER),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,
    )
    metrics = None
    if metrics_port is not None:
        metrics = PrometheusConfig(
            bind_address=f"{LOOPBACK}:{metrics_port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(filter=levels, forwarding=forwarding),
            metrics=metrics,
        ),
    )


def free_metrics_port() -> int:
    """Return a free loopback port, because the SDK does not tell which port it took."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
