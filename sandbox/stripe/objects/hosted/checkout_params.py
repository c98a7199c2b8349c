"""The parameters of Checkout sessions."""

from sandbox.stripe.objects.customers.addresses import SHIPPING
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Range,
    Text,
)

_PRICE_DATA = Group(
    {
        "currency": Text(),
        "product": Text(),
        "product_data": Group(
            {"description": Text(), "metadata": Metadata(), "name": Text()}, ("name",)
        ),
        "recurring": Group(
            {
                "interval": Choice(("day", "week", "month", "year")),
                "interval_count": Integer(minimum=1),
            },
            required=("interval",),
        ),
        "unit_amount": Integer(minimum=0),
    },
    required=("currency", "unit_amount"),
)
_LINE = Group(
    {
        "metadata": Metadata(),
        "price": Text(),
        "price_data": _PRICE_DATA,
        "quantity": Integer(minimum=1),
    }
)
_SUBSCRIPTION_DATA = Group(
    {
        "description": Text(),
        "metadata": Metadata(),
        "trial_end": Integer(),
        "trial_period_days": Integer(minimum=1, maximum=730),
        "trial_settings": Group(
            {
                "end_behavior": Group(
                    {"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))},
                    required=("missing_payment_method",),
                )
            },
            required=("end_behavior",),
        ),
    }
)
_PAYMENT_INTENT_DATA = Group(
    {
        "description": Text(),
        "metadata": Metadata(),
        "receipt_email": Text(),
        "setup_future_usage": Choice(("off_session", "on_session")),
        "shipping": SHIPPING,
    }
)
CREATE = Group(
    {
        "allow_promotion_codes": Boolean(),
        "allowed_payment_method_types": Many(Choice(("card",))),
        "cancel_url": Text(),
        "client_reference_id": Text(max_length=200),
        "currency": Text(),
        "customer": Text(),
        "customer_creation": Choice(("always", "if_required")),
        "customer_email": Text(),
        "customer_update": Group(
            {name: Choice(("auto", "never")) for name in ("address", "name", "shipping")}
        ),
        "discounts": Many(Group({"coupon": Text(), "promotion_code": Text()})),
        "expires_at": Integer(),
        "line_items": Many(_LINE),
        "metadata": Metadata(),
        "mode": Choice(("payment", "setup", "subscription")),
        "payment_intent_data": _PAYMENT_INTENT_DATA,
        "payment_method_collection": Choice(("always", "if_required")),
        "setup_intent_data": Group({"description": Text(), "metadata": Metadata()}),
        "subscription_data": _SUBSCRIPTION_DATA,
        "success_url": Text(),
        "ui_mode": Choice(("hosted_page",)),
    },
    required=("mode", "success_url"),
)
LIST = Group(
    {
        **PAGE,
        "created": Range(),
        "customer": Text(),
        "customer_details": Group({"email": Text()}, ("email",)),
        "payment_intent": Text(),
        "status": Choice(("complete", "expired", "open")),
        "subscription": Text(),
    }
)
