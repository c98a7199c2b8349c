"""Receives one event of Stripe: verifies, stores and counts it."""

from typing import cast

from starlette.datastructures import State

from adapters.stripe.webhooks import verify_webhook
from api.webhooks.dispatcher import Dispatcher
from api.webhooks.event_bodies import event_key
from api.webhooks.foreign_versions import ForeignVersions
from api.webhooks.inbox import Inbox
from config import StripeSettings
from domain.errors import BadRequestError
from domain.webhooks.event_types import type_label
from observability.metrics import WEBHOOK_EVENTS

_FOREIGN_VERSIONS = ForeignVersions()


async def receive_event(state: State, body: bytes, signature: str) -> None:
    """Verify an event and store it; returns once it is committed.

    Args:
        state: State of the app.
        body: Body of the request, exactly as received.
        signature: Value of `Stripe-Signature`; empty if the header is missing.

    Raises:
        BadRequestError: The signature matches no secret, or is too old (`invalid_signature`).
        UnavailableError: Too many events wait to be written (`inbox_full`).
        OperationalError: The database is down; the errors of `DATABASE_DOWN`.
    """
    try:
        verify_webhook(body, signature, _secrets(state.settings.stripe))
    except BadRequestError:
        WEBHOOK_EVENTS.labels("other", "refused").inc()
        raise
    # Reason: Stripe would resend a refused event for three days, and it would be visible nowhere;
    # an event that is stored as failed is in the list of events.
    key = event_key(body)
    await cast("Inbox", state.inbox).put(key, body)
    cast("Dispatcher", state.dispatcher).wake()
    _FOREIGN_VERSIONS.note(key.api_version)
    outcome = "failed" if key.flaw else "received"
    WEBHOOK_EVENTS.labels(type_label(key.event_type), outcome).inc()


def _secrets(settings: StripeSettings) -> list[str]:
    secrets = (
        settings.webhook_secret,
        settings.previous_webhook_secret,
        settings.thin_webhook_secret,
    )
    return [secret.get_secret_value() for secret in secrets if secret is not None]
