"""Whether all that the API needs answers, asked at most once in a few seconds."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from adapters.health import HealthResult, Probe, run_probes

Findings = Mapping[str, HealthResult]

KEPT_SECONDS = 5.0
# Reason: what is not well is waited for, by `make up` too.
KEPT_BAD_SECONDS = 1.0


class Readiness:
    """The findings of all probes, kept so that asking costs the other sides nothing.

    Args:
        probes: By name, what returns if the other side answers, and raises if not.
    """

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._asking = asyncio.Lock()
        self._findings: Findings = {}
        self._good_until = 0.0

    async def look(self) -> Findings:
        """Return how each dependency answered a moment ago, or answers now; one asks for all."""
        async with self._asking:
            if monotonic() >= self._good_until:
                self._findings = await run_probes(self._probes)
                is_well = all(finding.is_up for finding in self._findings.values())
                self._good_until = monotonic() + (KEPT_SECONDS if is_well else KEPT_BAD_SECONDS)
            return self._findings
