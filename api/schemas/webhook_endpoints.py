"""Schemas of the endpoints that webhooks are sent to, and of their deliveries."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from api.schemas.common import Input, Output, WebAddress
from database.webhooks.models import WebhookDelivery, WebhookEndpoint
from domain.base import Duration
from domain.webhooks.outgoing import EVENT_FILTERS, DeliveryStatus


def _check_filter(name: str) -> str:
    if name not in EVENT_FILTERS:
        raise ValueError("there is no such event type")
    return name


EventFilter = Annotated[
    str, AfterValidator(_check_filter), Field(json_schema_extra={"enum": [*EVENT_FILTERS]})
]
EventTypes = Annotated[
    list[EventFilter],
    Field(
        min_length=1,
        max_length=len(EVENT_FILTERS),
        description="Types such as `invoice.paid`, families such as `invoice.*`, or `*` for all.",
    ),
]
_MAX_OVERLAP = timedelta(days=7)
_URL = "https://app.example/webhooks"
_ENDPOINT: JsonDict = {
    "webhook_endpoint_id": "0d4ff2c4-0c43-4a4d-8f6e-8a0c8a5a3f0e",
    "url": _URL,
    "event_types": ["subscription.*", "invoice.paid"],
    "is_active": True,
    "failing_since": None,
    "switched_off_at": None,
    "previous_secret_expires_at": None,
    "created_at": "2026-11-29T09:00:00Z",
    "updated_at": "2026-11-29T09:00:00Z",
}
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - an example


class NewWebhookEndpoint(Input):
    """A new endpoint."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": _URL, "event_types": ["subscription.*", "invoice.paid"]}],
        },
    )

    url: WebAddress = Field(description="With https; http only to allowed private hosts.")
    event_types: EventTypes


class WebhookEndpointChangeIn(Input):
    """A change of an endpoint; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": True}]})

    url: WebAddress | None = None
    event_types: EventTypes | None = None
    is_active: StrictBool | None = Field(
        default=None,
        description="False holds pending deliveries, and nothing new is recorded; true goes on.",
    )


class WebhookEndpointOut(Output):
    """An endpoint, without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_ENDPOINT]})

    webhook_endpoint_id: UUID
    url: str
    event_types: list[str]
    is_active: bool
    failing_since: datetime | None = Field(description="First failure since the last success.")
    switched_off_at: datetime | None = Field(
        description="When it was switched off because it failed for three days, or answered 410."
    )
    previous_secret_expires_at: datetime | None = Field(
        description="Until when webhooks are signed with the previous secret, too."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: WebhookEndpoint, **more: Any) -> Self:
        """Render a row."""
        names = cls.model_fields.keys() - more.keys() - {"event_types"}
        facts = {name: getattr(row, name) for name in names}
        return cls(event_types=row.event_type_list, **facts, **more)


class WebhookEndpointSecretOut(WebhookEndpointOut):
    """An endpoint with a new secret, which is shown once."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [_ENDPOINT | {"secret": _SECRET}]}
    )

    secret: str | None = Field(
        description="Verifies webhooks. It is shown once; null when this answer is repeated.",
    )


class SecretRotationIn(Input):
    """The rotation of a secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap": "24h"}]})

    overlap: Annotated[Duration, Field(ge=timedelta(), le=_MAX_OVERLAP)] = Field(
        default=timedelta(hours=24),
        description="How long webhooks are signed with both secrets; at most seven days.",
    )


class RedeliveryIn(Input):
    """The delivery to send again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"webhook_delivery_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55"}],
        },
    )

    webhook_delivery_id: UUID


class WebhookDeliveryOut(Output):
    """One message for one endpoint, and what came of it."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "webhook_delivery_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
                    "webhook_endpoint_id": "0d4ff2c4-0c43-4a4d-8f6e-8a0c8a5a3f0e",
                    "webhook_message_id": "9a1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
                    "event_type": "invoice.paid",
                    "resource_id": "6a0ee0c4-6a43-4b7b-9c6d-1f0a3c1b7a55",
                    "seq": 2,
                    "delivery_status": "pending",
                    "attempt_count": 1,
                    "next_attempt_at": "2026-11-29T09:00:01Z",
                    "response_status": 500,
                    "last_error": "the endpoint answered 500",
                    "created_at": "2026-11-29T09:00:00Z",
                    "delivered_at": None,
                },
            ],
        },
    )

    webhook_delivery_id: UUID
    webhook_endpoint_id: UUID
    webhook_message_id: UUID = Field(description="As hex digits after `msg_`: the `webhook-id`.")
    event_type: str
    resource_id: UUID
    seq: int = Field(description="Number of the event within its resource, as in `data.seq`.")
    delivery_status: DeliveryStatus
    attempt_count: int
    next_attempt_at: datetime | None
    response_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """Render a row."""
        return cls.model_validate(row)
