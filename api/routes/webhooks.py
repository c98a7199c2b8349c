"""Where Stripe tells us what happened: checked, stored, answered; everything else comes later."""

from typing import Annotated, cast

import orjson
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict

from adapters.stripe.webhooks import verify_webhook
from api.deps import SettingsDep
from api.dispatcher import Dispatcher
from api.inbox import Inbox
from api.request_limits import read_body
from api.schemas.common import problems
from config import StripeSettings
from domain.errors import BadRequestError
from domain.webhooks import type_label
from observability import WEBHOOK_EVENTS

NAME_LIMIT = 255

# Reason: no ApiRouter, whose checks answer 422. What Stripe has signed is taken as it is.
router = APIRouter(prefix="/webhooks", tags=["webhooks"])


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
    """Take an event from Stripe. 200 means that it is stored, and will be acted upon once."""
    body = await read_body(request)
    try:
        verify_webhook(body, stripe_signature, _secrets(settings.stripe))
        stripe_event_id, event_type = _names(body)
    except BadRequestError:
        WEBHOOK_EVENTS.labels("other", "refused").inc()
        raise
    await cast("Inbox", request.app.state.inbox).put(stripe_event_id, event_type, body)
    cast("Dispatcher", request.app.state.dispatcher).wake()
    WEBHOOK_EVENTS.labels(type_label(event_type), "received").inc()
    return WebhookReceipt()


def _secrets(settings: StripeSettings) -> list[str]:
    secrets = (settings.webhook_secret, settings.previous_webhook_secret)
    return [secret.get_secret_value() for secret in secrets if secret is not None]


def _names(body: bytes) -> tuple[str, str]:
    """Return an event's id and type.

    Raises:
        BadRequestError: It has none (`invalid_payload`).
    """
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError("the payload is no JSON", "invalid_payload") from error
    names = (event.get("id"), event.get("type")) if isinstance(event, dict) else ()
    if not names or not all(_is_name(name) for name in names):
        raise BadRequestError("the payload is no event with id and type", "invalid_payload")
    return cast("tuple[str, str]", names)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()
