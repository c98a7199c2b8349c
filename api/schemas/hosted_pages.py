"""Schemas of Checkout sessions and portal sessions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, HttpUrl, StringConstraints, TypeAdapter

from api.schemas.common import NO_CARD, WHOLE, Input, Output

_ADDRESS = TypeAdapter(HttpUrl)


def _check_address(address: str) -> str:
    _ADDRESS.validate_python(address)
    # Reason: kept as it is given; parsing would escape Stripe's `{CHECKOUT_SESSION_ID}`.
    return address


PageAddress = Annotated[
    str,
    StringConstraints(max_length=2_048, pattern=r"^https?://[^\s]+$"),
    AfterValidator(_check_address),
    NO_CARD,
]
_FOR = "User on whose behalf an administrator acts; by default the caller."


class NewCheckoutSession(Input):
    """A page of Stripe's on which a customer subscribes to a plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plan_id": "7f0c1c9e-3d0f-4a86-9a52-3c3f3d0c8f11",
                    "success_url": "https://app.example/welcome?session={CHECKOUT_SESSION_ID}",
                    "cancel_url": "https://app.example/prices",
                },
            ],
        },
    )

    plan_id: UUID
    quantity: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = 1
    success_url: PageAddress = Field(
        description="Where the customer is led after the payment. Access comes by the paid invoice,"
        " not by this redirect.",
    )
    cancel_url: PageAddress = Field(description="Where the customer is led who goes back.")
    user_id: UUID | None = Field(default=None, description=_FOR)


class CheckoutSessionOut(Output):
    """An open Checkout page."""

    subscription_id: UUID = Field(
        description="Id that the subscription has once the customer has paid on the page.",
    )
    url: str
    expires_at: datetime


class NewPortalSession(Input):
    """A session of Stripe's customer portal."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"return_url": "https://app.example/account"}]},
    )

    return_url: PageAddress = Field(description="Where the portal leads back to.")
    user_id: UUID | None = Field(default=None, description=_FOR)


class PortalSessionOut(Output):
    """An address of the customer portal, which is a credential of the customer."""

    url: str
    expires_at: datetime = Field(description="When a link that was not opened becomes invalid.")
