"""Schemas of payment methods."""

from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool

from api.schemas.common import Input, Output, PaymentMethodId


class NewPaymentMethod(Input):
    """A card that was created with Stripe.js or with Stripe's mobile SDKs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"stripe_payment_method_id": "pm_card_visa", "is_default": True}],
        },
    )

    stripe_payment_method_id: PaymentMethodId
    is_default: StrictBool = Field(
        default=False,
        description="A default card is also tried on every open payment retry at once.",
    )
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class NewSetupIntent(Input):
    """A new setup intent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class SetupIntentOut(Output):
    """A setup intent, with the secret that Stripe.js needs to save a card."""

    setup_intent_id: UUID = Field(description="Id in this API, not Stripe's id.")
    client_secret: str


class PaymentMethodOut(Output):
    """A card."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "payment_method_id": "0b51a4f2-53f5-4b7c-9a2e-1f9f5b0c1d22",
                    "user_id": "e3a1c5d7-9b2f-4c6e-8d0a-1f3b5c7d9e2a",
                    "stripe_payment_method_id": "pm_1QxB2eZvKYlo2C",
                    "brand": "visa",
                    "last4": "4242",
                    "exp_month": 12,
                    "exp_year": 2030,
                    "is_default": True,
                    "created_at": "2026-11-23T09:00:00Z",
                },
            ],
        },
    )

    payment_method_id: UUID
    user_id: UUID
    stripe_payment_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    is_default: bool
    created_at: datetime
