"""Route that receives events of Stripe: verifies and stores them, to be processed later."""

from typing import Annotated, cast

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict

from adapters.stripe.webhooks import verify_webhook
from api.deps import SettingsDep
from api.http.body_limits import read_body
from api.openapi.problems import INBOX_FULL, WRONG_SIGNATURE, problems
from api.webhooks.dispatcher import Dispatcher
from api.webhooks.event_bodies import event_key
from api.webhooks.foreign_versions import ForeignVersions
from api.webhooks.inbox import Inbox
from config import StripeSettings
from domain.errors import BadRequestError
from domain.webhooks.events import type_label
from observability.metrics import WEBHOOK_EVENTS

_FOREIGN_VERSIONS = ForeignVersions()

# Reason: not an ApiRouter, whose checks answer 422. An event that Stripe signed is never refused.
router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class WebhookReceiptOut(BaseModel):
    """Confirms to Stripe that an event is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": True}]})

    received: bool = True


@router.post("/stripe", responses=problems(WRONG_SIGNATURE, INBOX_FULL))
async def receive_stripe_event(
    request: Request,
    settings: SettingsDep,
    stripe_signature: Annotated[str, Header(description="`t=…,v1=…`")] = "",
) -> WebhookReceiptOut:
    """Receive an event from Stripe. 200 means that it is stored and will be processed.

    A signed event that can never be processed is stored as `failed`, and answered with 200 too.
    """
    body = await read_body(request)
    try:
        verify_webhook(body, stripe_signature, _secrets(settings.stripe))
    except BadRequestError:
        WEBHOOK_EVENTS.labels("other", "refused").inc()
        raise
    # Reason: Stripe would resend a refused event for three days, and it would be visible nowhere;
    # an event that is stored as failed is in the list of events.
    names = event_key(body)
    await cast("Inbox", request.app.state.inbox).put(names, body)
    cast("Dispatcher", request.app.state.dispatcher).wake()
    _FOREIGN_VERSIONS.note(body)
    outcome = "failed" if names.flaw else "received"
    WEBHOOK_EVENTS.labels(type_label(names.event_type), outcome).inc()
    return WebhookReceiptOut()


def _secrets(settings: StripeSettings) -> list[str]:
    secrets = (settings.webhook_secret, settings.previous_webhook_secret)
    return [secret.get_secret_value() for secret in secrets if secret is not None]
