"""Billing meters at Stripe, what is reported to them, and what they could not count."""

import re
from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import field, required
from domain.errors import ProviderRejectedError
from domain.usage.metering import MeterError, MeterReport

PAGE_SIZE = 100
# End of the idempotency keys of `post_once`, under which Stripe may name an event.
_KEY_NUMBER = re.compile(r":\d+$")


class StripeMeters:
    """Creates meters at Stripe, and reports usage to them."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(self, event_name: str, display_name: str, key: str) -> str:
        """Create a meter that adds up the values of its events, by customer.

        Returns:
            Id of the meter.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            made = await self._client.v1.billing.meters.create_async(
                {
                    "event_name": event_name,
                    "display_name": display_name,
                    "default_aggregation": {"formula": "sum"},
                },
                {"idempotency_key": key},
            )
        return str(required(made, "id"))

    async def find(self, event_name: str) -> str | None:
        """Return the active meter of an event name; None if there is none."""
        with translate_stripe_errors():
            page = await self._client.v1.billing.meters.list_async(
                {"status": "active", "limit": PAGE_SIZE},
            )
            async for found in page.auto_paging_iter():
                if field(found, "event_name") == event_name:
                    return str(required(found, "id"))
        return None

    async def report(self, usage: MeterReport, key: str) -> None:
        """Report usage to a meter; Stripe counts each identifier once within 24 hours.

        Without a timestamp the usage counts for the period in which it arrives: an earlier period
        may be invoiced already, and its usage would be lost.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        try:
            with translate_stripe_errors():
                await self._client.v1.billing.meter_events.create_async(
                    {
                        "event_name": usage.event_name,
                        "identifier": usage.identifier,
                        "payload": {
                            "stripe_customer_id": usage.stripe_customer_id,
                            "value": str(usage.quantity),
                        },
                    },
                    {"idempotency_key": key},
                )
        except ProviderRejectedError as error:
            # Reason: an earlier try, whose answer was lost, has been counted.
            if error.details.get("param") != "identifier":
                raise

    async def read_errors(self, stripe_event_id: str) -> tuple[MeterError, ...]:
        """Return which reports a meter could not count, as an event of Stripe tells.

        Stripe names some events of each kind of error only.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            found = await self._client.v2.core.events.retrieve_async(stripe_event_id)
        kinds: list[Any] = field(found, "data.reason.error_types") or []
        return tuple(
            MeterError(
                identifier=_KEY_NUMBER.sub("", str(field(sample, "request.identifier") or "")),
                error_code=str(field(kind, "code") or "unknown"),
                message=str(field(sample, "error_message") or ""),
            )
            for kind in kinds
            for sample in field(kind, "sample_errors") or []
        )
