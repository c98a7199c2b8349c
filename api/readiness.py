"""Checks whether all dependencies of the API answer, at most once in a few seconds."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from adapters.health import HealthResult, Probe, run_probes

Findings = Mapping[str, HealthResult]

CACHE_SECONDS = 5.0
# Reason: callers such as `make up` wait until a failed probe succeeds.
FAILURE_CACHE_SECONDS = 1.0


class Readiness:
    """Results of all health probes, cached so that frequent checks do not load dependencies.

    Args:
        probes: Probe by the name of its dependency; it raises if the dependency does not answer.
    """

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._lock = asyncio.Lock()
        self._findings: Findings = {}
        self._good_until = 0.0

    async def check(self) -> Findings:
        """Return each dependency's result, cached or new; concurrent callers share one check."""
        async with self._lock:
            if monotonic() >= self._good_until:
                self._findings = await run_probes(self._probes)
                is_passed = all(finding.is_up for finding in self._findings.values())
                self._good_until = monotonic() + (
                    CACHE_SECONDS if is_passed else FAILURE_CACHE_SECONDS
                )
            return self._findings
