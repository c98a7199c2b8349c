"""Where Stripe tells us what happened: checked, stored, answered; everything else comes later."""

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict

from adapters.stripe.webhooks import verify_webhook
from api.deps import SettingsDep
from api.dispatcher import Dispatcher
from api.event_bodies import name_event
from api.inbox import Inbox
from api.schemas.common import problems
from config import StripeSettings
from domain.errors import ApplicationError, BadRequestError
from domain.webhooks import type_label
from observability import WEBHOOK_EVENTS

BODY_LIMIT_BYTES = 1_000_000

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class PayloadTooLargeError(ApplicationError):
    """More was sent than is ever read."""

    code = "payload_too_large"
    http_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class WebhookReceipt(BaseModel):
    """What Stripe is told: it is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": True}]})

    received: bool = True


@router.post("/stripe", responses=problems(400, 413, 503))
async def receive_stripe_event(
    request: Request,
    settings: SettingsDep,
    stripe_signature: Annotated[str, Header(description="`t=…,v1=…`")] = "",
) -> WebhookReceipt:
    """Take an event from Stripe. 200 means that it is stored, and will be acted upon once.

    A signed event that can never be acted upon is stored as `failed`, and answered with 200 too.
    """
    body = await _limited_body(request)
    try:
        verify_webhook(body, stripe_signature, _secrets(settings.stripe))
    except BadRequestError:
        WEBHOOK_EVENTS.labels("other", "refused").inc()
        raise
    # Reason: what is signed is Stripe's. Refused, it would come again for three days, and nobody
    # would see it; stored as failed, it is in the list.
    names = name_event(body)
    await cast("Inbox", request.app.state.inbox).put(names, body)
    cast("Dispatcher", request.app.state.dispatcher).wake()
    outcome = "failed" if names.flaw else "received"
    WEBHOOK_EVENTS.labels(type_label(names.event_type), outcome).inc()
    return WebhookReceipt()


def _secrets(settings: StripeSettings) -> list[str]:
    secrets = (settings.webhook_secret, settings.previous_webhook_secret)
    return [secret.get_secret_value() for secret in secrets if secret is not None]


async def _limited_body(request: Request) -> bytes:
    """Return the raw body.

    Raises:
        PayloadTooLargeError: It is longer than anything that Stripe sends.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise PayloadTooLargeError("the payload is larger than one megabyte")
    return bytes(body)
