"""The parameters of the calls on subscriptions and their items."""

from sandbox.stripe.objects.catalog import prices, reductions
from sandbox.stripe.objects.invoices.invoice_item_routes import PRICE_DATA
from sandbox.stripe.params import (
    PAGE,
    Boolean,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Range,
    Text,
    Unsettable,
)

STATUSES = (
    "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing",
    "unpaid",
)  # fmt: skip
PRORATION_BEHAVIOR = Choice(("always_invoice", "create_prorations", "none"))
FEEDBACK = Choice(
    (
        "", "customer_service", "low_quality", "missing_features", "other", "switched_service",
        "too_complex", "too_expensive", "unused",
    )
)  # fmt: skip
CANCELLATION_DETAILS = Group({"comment": Text(), "feedback": FEEDBACK})
CANCEL_AT = Integer(
    is_unsettable=True, words=("max_billed_until", "max_period_end", "min_period_end")
)
INVOICE_FROM_SUBSCRIPTION = Group({"description": Text(), "footer": Text()})
_TRIAL_SETTINGS = Group(
    {
        "end_behavior": Group(
            {"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))},
        )
    },
    required=("end_behavior",),
)
RECURRING_PRICE_DATA = Group(
    {
        "currency": Text(),
        "product": Text(),
        "recurring": prices.PLAIN_RECURRING,
        "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
        "unit_amount": Integer(minimum=0),
    },
    required=("currency", "product", "recurring", "unit_amount"),
)
NEW_ITEM: dict[str, Param] = {
    "discounts": reductions.WISHES,
    "metadata": Metadata(),
    "price": Text(),
    "price_data": RECURRING_PRICE_DATA,
    "quantity": Integer(minimum=0),
}
CHANGED_ITEM: dict[str, Param] = {**NEW_ITEM, "deleted": Boolean(), "id": Text()}
EXTRA = Group(
    {
        "discountable": Boolean(),
        "metadata": Metadata(),
        "price": Text(),
        "price_data": PRICE_DATA,
        "quantity": Integer(minimum=0),
    }
)
_BOTH: dict[str, Param] = {
    "add_invoice_items": Many(EXTRA),
    "cancel_at": CANCEL_AT,
    "cancel_at_period_end": Boolean(),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "days_until_due": Integer(minimum=0),
    "default_payment_method": Text(),
    "description": Text(500),
    "discounts": reductions.WISHES,
    "metadata": Metadata(),
    "off_session": Boolean(),
    "payment_behavior": Choice(
        ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
    ),
    "payment_settings": Group({"save_default_payment_method": Choice(("off", "on_subscription"))}),
    "proration_behavior": PRORATION_BEHAVIOR,
    "trial_end": Integer(words=("now",)),
    "trial_settings": _TRIAL_SETTINGS,
}
ANCHOR_CONFIG = Group(
    {
        "day_of_month": Integer(minimum=1, maximum=31),
        "hour": Integer(minimum=0, maximum=23),
        "minute": Integer(minimum=0, maximum=59),
        "month": Integer(minimum=1, maximum=12),
        "second": Integer(minimum=0, maximum=59),
    },
    required=("day_of_month",),
)
BILLING_MODE = Group(
    {
        "flexible": Group({"proration_discounts": Choice(("included",))}),
        "type": Choice(("flexible",)),
    },
    required=("type",),
)
ANCHOR_CHANGE = Group({"type": Choice(("now", "unchanged"))}, required=("type",))
CREATE = Group(
    {
        **_BOTH,
        "billing_cycle_anchor": Integer(),
        "billing_cycle_anchor_config": ANCHOR_CONFIG,
        "billing_mode": BILLING_MODE,
        "currency": Text(),
        "customer": Text(),
        "items": Many(Group(NEW_ITEM)),
        "trial_period_days": Integer(minimum=0, maximum=730),
    },
    required=("customer", "items"),
)
UPDATE = Group(
    {
        **_BOTH,
        "billing_cycle_anchor": ANCHOR_CHANGE,
        "cancellation_details": CANCELLATION_DETAILS,
        "items": Many(Group(CHANGED_ITEM)),
        "pause_collection": Unsettable(
            Group(
                {
                    "behavior": Choice(("keep_as_draft", "mark_uncollectible", "void")),
                    "resumes_at": Integer(),
                },
                required=("behavior",),
            )
        ),
        "proration_date": Integer(),
    }
)
LIST = Group(
    {
        **PAGE,
        "collection_method": Choice(("charge_automatically", "send_invoice")),
        "created": Range(),
        "customer": Text(),
        "price": Text(),
        "status": Choice((*STATUSES, "all", "ended")),
        "test_clock": Text(),
    }
)
CANCEL = Group(
    {
        "cancellation_details": CANCELLATION_DETAILS,
        "invoice_now": Boolean(),
        "prorate": Boolean(),
    }
)
PAUSE = Group(
    {
        "bill_for": Group(
            {
                "outstanding_usage_through": Group(
                    {"type": Choice(("none", "now"))}, required=("type",)
                ),
                "unused_time_from": Group(
                    {"type": Choice(("item_current_period_start", "none", "now"))},
                    required=("type",),
                ),
            }
        ),
        "invoicing_behavior": Choice(("invoice", "pending_invoice_item")),
        "type": Choice(("subscription",)),
    }
)
RESUME = Group(
    {
        "billing_cycle_anchor": ANCHOR_CHANGE,
        "payment_behavior": Choice(("resume_on_payment_attempt", "resume_on_payment_success")),
        "proration_behavior": PRORATION_BEHAVIOR,
        "proration_date": Integer(),
    }
)
_CHARGED: dict[str, Param] = {
    "payment_behavior": _BOTH["payment_behavior"],
    "proration_behavior": PRORATION_BEHAVIOR,
    "proration_date": Integer(),
}
ITEM_CREATE = Group(
    {**NEW_ITEM, **_CHARGED, "subscription": Text()},
    required=("subscription",),
)
ITEM_UPDATE = Group({**NEW_ITEM, **_CHARGED, "off_session": Boolean()})
ITEM_DELETE = Group(_CHARGED)
ITEM_LIST = Group({**PAGE, "subscription": Text()}, required=("subscription",))
