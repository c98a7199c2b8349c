"""Route that receives events of Stripe: verifies and stores them, to be processed later."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict

from api.http.body_limits import read_body
from api.openapi.problems import INBOX_FULL, WRONG_SIGNATURE, problems
from api.webhooks.receipt import receive_event

# Reason: not an ApiRouter, whose checks answer 422. An event that Stripe signed is never refused.
router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class WebhookReceiptOut(BaseModel):
    """Confirms to Stripe that an event is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": True}]})

    received: bool = True


@router.post("/stripe", responses=problems(WRONG_SIGNATURE, INBOX_FULL))
async def receive_stripe_event(
    request: Request,
    stripe_signature: Annotated[str, Header(description="`t=…,v1=…`")] = "",
) -> WebhookReceiptOut:
    """Receive an event from Stripe. 200 means that it is stored and will be processed.

    A signed event that can never be processed is stored as `failed`, and answered with 200 too.
    """
    # Reason: `api/webhooks/endpoint.py` answers this path before; what it passes on, such as a path
    # below a `root_path`, comes here.
    await receive_event(request.app.state, await read_body(request), stripe_signature)
    return WebhookReceiptOut()
