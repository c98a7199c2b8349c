"""The parameters of Checkout sessions."""

from sandbox.stripe import method_types
from sandbox.stripe.objects.catalog import prices
from sandbox.stripe.objects.customers.addresses import SHIPPING
from sandbox.stripe.objects.hosted.checkout_looks import INVOICE_CREATION, LOOKS
from sandbox.stripe.objects.subscriptions import subscription_params
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Decimals,
    Email,
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
            {
                "description": Text(),
                "images": Many(Text()),
                "metadata": Metadata(),
                "name": Text(),
                "unit_label": Text(),
            },
            ("name",),
        ),
        "recurring": prices.PLAIN_RECURRING,
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
        "unit_amount": Integer(minimum=0),
        "unit_amount_decimal": Decimals(),
    },
    required=("currency",),
)
_ADJUSTABLE = Group(
    {"enabled": Boolean(), "maximum": Integer(1, 999_999), "minimum": Integer(0)}, ("enabled",)
)
_LINE = Group(
    {
        "adjustable_quantity": _ADJUSTABLE,
        "metadata": Metadata(),
        "price": Text(),
        "price_data": _PRICE_DATA,
        "quantity": Integer(minimum=1),
    }
)
_SUBSCRIPTION_DATA = Group(
    {
        "billing_cycle_anchor": Integer(),
        "billing_mode": subscription_params.BILLING_MODE,
        "description": Text(),
        "metadata": Metadata(),
        "proration_behavior": Choice(("create_prorations", "none")),
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
        "capture_method": Choice(("automatic", "automatic_async", "manual")),
        "description": Text(),
        "metadata": Metadata(),
        "receipt_email": Email(),
        "setup_future_usage": Choice(("off_session", "on_session")),
        "shipping": SHIPPING,
        "statement_descriptor": Text(max_length=22),
        "statement_descriptor_suffix": Text(max_length=22),
    }
)
CREATE = Group(
    {
        **LOOKS,
        "allow_promotion_codes": Boolean(),
        "allowed_payment_method_types": Many(Choice(method_types.TYPES)),
        "cancel_url": Text(),
        "client_reference_id": Text(max_length=200),
        "currency": Text(),
        "customer": Text(),
        "customer_creation": Choice(("always", "if_required")),
        "customer_email": Email(),
        "discounts": Many(Group({"coupon": Text(), "promotion_code": Text()})),
        "expires_at": Integer(),
        "invoice_creation": INVOICE_CREATION,
        "line_items": Many(_LINE),
        "metadata": Metadata(),
        "mode": Choice(("payment", "setup", "subscription")),
        "payment_intent_data": _PAYMENT_INTENT_DATA,
        "payment_method_collection": Choice(("always", "if_required")),
        "redirect_on_completion": Choice(("always", "if_required", "never")),
        "return_url": Text(),
        "setup_intent_data": Group({"description": Text(), "metadata": Metadata()}),
        "subscription_data": _SUBSCRIPTION_DATA,
        "success_url": Text(),
        "ui_mode": Choice(("elements", "embedded_page", "hosted_page")),
    },
    required=("mode",),
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
