"""What Stripe has to be told once: where webhooks go, and what the customer portal offers."""

from collections.abc import Iterable

from domain.base import Frozen
from domain.webhooks.events import HANDLED_TYPES, Handler

WEBHOOK_PATH = "/api/v1/webhooks/stripe"
# By this metadata we know at Stripe what we made there.
MARK_NAME, MARK = "application", "perdure"
WANTED_TYPES = tuple(
    sorted(name for name, handler in HANDLED_TYPES.items() if handler is not Handler.IGNORED)
)


class EndpointSnapshot(Frozen):
    """A webhook endpoint, as Stripe has it.

    Args:
        endpoint_id: Stripe's id.
        url: Where events are sent.
        api_version: How they are written; None is the account's own version, whichever that is.
        is_enabled: Whether any are sent.
        is_ours: Whether our own command made it.
        event_types: What it is told of; `*` is everything.
    """

    endpoint_id: str
    url: str
    api_version: str | None
    is_enabled: bool
    is_ours: bool
    event_types: frozenset[str]

    @property
    def missing_types(self) -> tuple[str, ...]:
        """What the product handles and this endpoint is not told of."""
        return () if "*" in self.event_types else _sorted(set(WANTED_TYPES) - self.event_types)

    @property
    def surplus_types(self) -> tuple[str, ...]:
        """What this endpoint is told of for nothing."""
        return _sorted(self.event_types - set(WANTED_TYPES))

    @property
    def is_as_wanted(self) -> bool:
        """Whether there is nothing to change; the version can never be changed."""
        return self.is_enabled and self.event_types == set(WANTED_TYPES)


class EndpointMade(Frozen):
    """A new webhook endpoint, with the secret that Stripe shows only now."""

    endpoint_id: str
    secret: str | None


class PortalSnapshot(Frozen):
    """A configuration of the customer portal, as Stripe has it.

    Args:
        configuration_id: Stripe's id.
        is_active: Whether sessions can use it.
        is_ours: Whether our own command made it.
        features: Which of the features that the product needs are as it needs them.
    """

    configuration_id: str
    is_active: bool
    is_ours: bool
    features: frozenset[str]

    @property
    def lacking(self) -> tuple[str, ...]:
        """What the product needs and this configuration does not offer."""
        return _sorted(set(PORTAL_FEATURES) - self.features)


# Each changes only what the mailbox follows anyway: see the events that it handles.
PORTAL_FEATURES = ("invoice_history", "payment_method_update", "subscription_cancel")


def endpoints_of_product(
    endpoints: Iterable[EndpointSnapshot],
    public_url: str,
) -> tuple[EndpointSnapshot, ...]:
    """Choose the endpoints that lead to this product.

    Args:
        endpoints: All of the account.
        public_url: Where the API is reached, as far as its settings know.

    Returns:
        Those with exactly its address; if there are none, all that we made or that have its path.
    """
    known = tuple(endpoints)
    exact = tuple(each for each in known if each.url == public_url.rstrip("/") + WEBHOOK_PATH)
    return exact or tuple(each for each in known if each.is_ours or each.url.endswith(WEBHOOK_PATH))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
