"""Webhook endpoints and the customer portal's configuration at Stripe."""

from collections.abc import Sequence
from typing import Any, cast

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, required
from domain.webhooks.endpoints import (
    MARK,
    MARK_NAME,
    REQUIRED_EVENT_TYPES,
    CreatedEndpoint,
    EndpointSnapshot,
    PortalSnapshot,
)

# Reason: the SDK reads and writes this version, and events must be written in the same one.
PINNED_VERSION: str = stripe.api_version
PAGE_SIZE = 100

# Reason: Stripe's own parameter types name every version and event type as a literal.
_EVENT_TYPES = cast("Any", list(REQUIRED_EVENT_TYPES))
_PORTAL: Any = {
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
}


class StripeSetup:
    """Sets up webhook endpoints and the customer portal, once per Stripe account."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def endpoints(self) -> Sequence[EndpointSnapshot]:
        """Return all webhook endpoints of the account."""
        with translate_stripe_errors():
            page = await self._client.v1.webhook_endpoints.list_async({"limit": PAGE_SIZE})
            return [_endpoint_snapshot(found) async for found in page.auto_paging_iter()]

    async def create_endpoint(self, url: str, key: str) -> CreatedEndpoint:
        """Create an endpoint of the pinned version for the events that the product handles.

        Args:
            url: URL that receives the events.
            key: Idempotency key.

        Returns:
            Id and secret of the endpoint.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            made = await self._client.v1.webhook_endpoints.create_async(
                {
                    "url": url,
                    "enabled_events": _EVENT_TYPES,
                    "api_version": cast("Any", PINNED_VERSION),
                    "description": "Perdure",
                    "metadata": {MARK_NAME: MARK},
                },
                {"idempotency_key": key},
            )
        return CreatedEndpoint(endpoint_id=required(made, "id"), secret=field(made, "secret"))

    async def change_endpoint(self, endpoint_id: str, key: str) -> None:
        """Enable an endpoint for exactly the event types that the product handles."""
        with translate_stripe_errors():
            await self._client.v1.webhook_endpoints.update_async(
                endpoint_id,
                {"enabled_events": _EVENT_TYPES, "disabled": False},
                {"idempotency_key": key},
            )

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint, which then receives no more events."""
        with translate_stripe_errors():
            await self._client.v1.webhook_endpoints.delete_async(endpoint_id)

    async def portals(self) -> Sequence[PortalSnapshot]:
        """Return all configurations of the customer portal."""
        with translate_stripe_errors():
            page = await self._client.v1.billing_portal.configurations.list_async(
                {"limit": PAGE_SIZE},
            )
            return [_portal_snapshot(found) async for found in page.auto_paging_iter()]

    async def create_portal(self, key: str) -> str:
        """Create a portal configuration with the required features, and return its id."""
        with translate_stripe_errors():
            made = await self._client.v1.billing_portal.configurations.create_async(
                {"name": "Perdure", "features": _PORTAL, "metadata": {MARK_NAME: MARK}},
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def change_portal(self, configuration_id: str, key: str) -> None:
        """Enable the required features of a portal configuration, and keep its other features."""
        with translate_stripe_errors():
            await self._client.v1.billing_portal.configurations.update_async(
                configuration_id,
                {"active": True, "features": _PORTAL},
                {"idempotency_key": key},
            )


def _endpoint_snapshot(found: object) -> EndpointSnapshot:
    return EndpointSnapshot(
        endpoint_id=required(found, "id"),
        url=field(found, "url") or "",
        api_version=field(found, "api_version"),
        is_enabled=field(found, "status") == "enabled",
        is_ours=_is_ours(found),
        event_types=frozenset(field(found, "enabled_events") or ()),
    )


def _portal_snapshot(found: object) -> PortalSnapshot:
    offered = {
        name
        for name, settings in _PORTAL.items()
        if all(field(found, f"features.{name}.{key}") == value for key, value in settings.items())
    }
    return PortalSnapshot(
        configuration_id=required(found, "id"),
        is_active=bool(field(found, "active")),
        is_ours=_is_ours(found),
        features=frozenset(offered),
    )


def _is_ours(found: object) -> bool:
    return bool(field(found, f"metadata.{MARK_NAME}") == MARK)
