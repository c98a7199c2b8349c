"""Open dj-stripe's webhook endpoint at Stripe, as its admin page does: `endpoint.py BASE_URL`."""

import sys
import uuid

import django


def open_endpoint(base_url: str) -> None:
    """Create an endpoint for all events at Stripe and keep it with its secret."""
    from djstripe.models import WebhookEndpoint  # noqa: PLC0415 - needs Django to be set up

    name = str(uuid.uuid4())
    made = WebhookEndpoint._api_create(
        enabled_events=["*"],
        metadata={"djstripe_uuid": name},
        url=f"{base_url}/stripe/webhook/{name}/",
    )
    WebhookEndpoint.sync_from_stripe_data(made)


if __name__ == "__main__":
    django.setup()
    open_endpoint(sys.argv[1])
