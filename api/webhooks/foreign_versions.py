"""Detects events that Stripe wrote in another API version than this release reads."""

import structlog

from adapters.stripe.setup import PINNED_VERSION
from observability.metrics import WEBHOOK_FOREIGN_VERSIONS

log = structlog.get_logger(__name__)

# Reason: an account and each endpoint have one version; any more are counted together.
KNOWN_VERSION_COUNT = 10
OTHERS = "other"


class ForeignVersions:
    """Counts and logs the foreign API versions of events that this process receives."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def note(self, version: str | None) -> None:
        """Count an event of a foreign version, and log each version once.

        Args:
            version: Version of an event with a valid signature; None is ignored.
        """
        if version is None or version == PINNED_VERSION:
            return
        is_new = version not in self._logged
        if is_new and len(self._logged) >= KNOWN_VERSION_COUNT:
            version, is_new = OTHERS, OTHERS not in self._logged
        WEBHOOK_FOREIGN_VERSIONS.labels(version).inc()
        if is_new:
            self._logged.add(version)
            log.warning(
                "webhook_version_foreign",
                api_version=version,
                pinned_version=PINNED_VERSION,
                what_to_do="python cli.py stripe setup --url <URL of the webhook endpoint>",
            )
