"""The parameters of the calls on subscription schedules."""

from sandbox.stripe.objects.catalog import reductions
from sandbox.stripe.objects.subscriptions import subscription_params
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
)

_SETTINGS: dict[str, Param] = {
    "billing_cycle_anchor": Choice(("automatic", "phase_start")),
    "collection_method": Choice(("charge_automatically", "send_invoice")),
    "default_payment_method": Text(),
    "description": Text(),
    "invoice_settings": Group({"days_until_due": Integer(minimum=0)}),
}
_PHASE: dict[str, Param] = {
    **_SETTINGS,
    "add_invoice_items": Many(subscription_params.EXTRA),
    "currency": Text(),
    "discounts": reductions.WISHES,
    "duration": Group(
        {
            "interval": Choice(("day", "month", "week", "year")),
            "interval_count": Integer(minimum=1),
        },
        required=("interval",),
    ),
    "items": Many(Group(subscription_params.NEW_ITEM)),
    "metadata": Metadata(),
    "proration_behavior": subscription_params.PRORATION_BEHAVIOR,
    "trial": Boolean(),
    "trial_end": Integer(),
}
_BOTH: dict[str, Param] = {
    "default_settings": Group(_SETTINGS),
    "end_behavior": Choice(("cancel", "release")),
    "metadata": Metadata(),
}
CREATE = Group(
    {
        **_BOTH,
        "billing_mode": subscription_params.BILLING_MODE,
        "customer": Text(),
        "from_subscription": Text(),
        "phases": Many(Group({**_PHASE, "end_date": Integer()}, required=("items",))),
        "start_date": Integer(words=("now",)),
    }
)
_MOMENT = Integer(words=("now",))
UPDATE = Group(
    {
        **_BOTH,
        "phases": Many(
            Group({**_PHASE, "end_date": _MOMENT, "start_date": _MOMENT}, required=("items",))
        ),
        "proration_behavior": subscription_params.PRORATION_BEHAVIOR,
    }
)
LIST = Group({**PAGE, "created": Range(), "customer": Text(), "scheduled": Boolean()})
RELEASE = Group({"preserve_cancel_date": Boolean()})
CANCEL = Group({"invoice_now": Boolean(), "prorate": Boolean()})
