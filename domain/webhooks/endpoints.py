"""Wanted configuration at Stripe: webhook endpoint and customer portal."""

from collections.abc import Iterable

from domain.base import Frozen
from domain.webhooks.event_types import HANDLED_TYPES, Handler

WEBHOOK_PATH = "/api/v1/webhooks/stripe"
# Metadata that marks objects at Stripe as made by this product.
MARK_NAME, MARK = "application", "perdure"
REQUIRED_EVENT_TYPES = tuple(
    # Reason: a webhook endpoint gets no thin events; they need an event destination of their own.
    sorted(
        name
        for name, handler in HANDLED_TYPES.items()
        if handler not in {Handler.IGNORED, Handler.METER}
    )
)


class EndpointSnapshot(Frozen):
    """Snapshot of a webhook endpoint.

    Args:
        endpoint_id: Stripe's id of the endpoint.
        url: Address that events are sent to.
        api_version: API version of the events; None for the default version of the account.
        is_enabled: Whether events are sent.
        is_ours: Whether a command of this product created it.
        event_types: Types of events that are sent; `*` means all.
    """

    endpoint_id: str
    url: str
    api_version: str | None
    is_enabled: bool
    is_ours: bool
    event_types: frozenset[str]

    @property
    def missing_types(self) -> tuple[str, ...]:
        """Event types that the product handles and the endpoint does not get."""
        return (
            () if "*" in self.event_types else _sorted(set(REQUIRED_EVENT_TYPES) - self.event_types)
        )

    @property
    def surplus_types(self) -> tuple[str, ...]:
        """Event types that the endpoint gets and the product does not need."""
        return _sorted(self.event_types - set(REQUIRED_EVENT_TYPES))

    @property
    def is_up_to_date(self) -> bool:
        """Whether nothing needs to be changed; the API version can never be changed."""
        return self.is_enabled and self.event_types == set(REQUIRED_EVENT_TYPES)


class CreatedEndpoint(Frozen):
    """A new webhook endpoint, with the secret that Stripe returns only on creation."""

    endpoint_id: str
    secret: str | None


class PortalSnapshot(Frozen):
    """Snapshot of a configuration of the customer portal.

    Args:
        configuration_id: Stripe's id of the configuration.
        is_active: Whether portal sessions can use it.
        is_ours: Whether a command of this product created it.
        features: Features required by the product that are set as required.
    """

    configuration_id: str
    is_active: bool
    is_ours: bool
    features: frozenset[str]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Features that the product requires and the configuration lacks."""
        return _sorted(set(PORTAL_FEATURES) - self.features)


# Changes that customers make with these features are reported by webhooks that we handle.
PORTAL_FEATURES = ("invoice_history", "payment_method_update", "subscription_cancel")


def endpoints_of_product(
    endpoints: Iterable[EndpointSnapshot],
    public_url: str,
) -> tuple[EndpointSnapshot, ...]:
    """Return the webhook endpoints that belong to this product.

    Args:
        endpoints: All endpoints of the account.
        public_url: Public address of the API, from the settings.

    Returns:
        The endpoints with exactly this address; if there are none, all that we created or that
        have the path of our webhooks.
    """
    known = tuple(endpoints)
    exact = tuple(each for each in known if each.url == public_url.rstrip("/") + WEBHOOK_PATH)
    return exact or tuple(each for each in known if each.is_ours or each.url.endswith(WEBHOOK_PATH))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
