import hashlib
import hmac
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio import workflow

from adapters.stripe.webhooks import TOLERANCE_SECONDS, verify_webhook
from domain.errors import BadRequestError
from domain.webhooks.endpoints import REQUIRED_EVENT_TYPES
from domain.webhooks.event_types import (
    HANDLED_TYPES,
    METER_ERRORS,
    Handler,
    handler_of,
    type_label,
)
from domain.webhooks.events import (
    EventOwner,
    EventReference,
    owner_of,
    reference_of,
)
from workflows.payments.payment import PaymentWorkflow
from workflows.subscriptions.subscription import SubscriptionWorkflow

OURS = UUID("6a0ee0c4-6a43-4b7b-9c6d-1f0a3c1b7a55")
METADATA = {"subscription_id": str(OURS)}
PAID = {"payment_id": str(OURS)}


def event(found: object) -> dict[str, Any]:
    return {"id": "evt_1", "type": "invoice.paid", "data": {"object": found}}


def invoice(**details: Any) -> dict[str, Any]:
    return {"object": "invoice", "parent": {"subscription_details": details}}


Shape = tuple[dict[str, Any], EventReference | None]


def older_shapes() -> list[Shape]:
    """Return events as older API versions show their objects, by what moved since."""
    invoices = [({"object": "invoice", **found}, named) for found, named in older_invoices()]
    return [(event(found), named) for found, named in [*invoices, *older_others()]]


def older_invoices() -> list[Shape]:
    ours = EventReference(stripe_id="sub_1", our_id=OURS)
    line = {"type": "subscription", "metadata": METADATA}
    item = {"type": "invoiceitem", "metadata": {"subscription_id": str(uuid4())}}
    return [
        # Invoices before 2025-03-31.basil: the subscription at the top.
        ({"subscription": "sub_1", "subscription_details": {"metadata": METADATA}}, ours),
        ({"subscription": {"id": "sub_1"}, "subscription_details": None}, ours_at_stripe()),
        # Older still: the metadata on the lines of the period only.
        ({"subscription": "sub_1", "lines": {"data": [item, line]}}, ours),
        ({"subscription": "sub_1", "lines": {"data": [item]}}, ours_at_stripe()),
        ({"subscription": "sub_1", "lines": {"data": [7, None]}}, ours_at_stripe()),
        ({"subscription": "sub_1", "lines": [line]}, ours_at_stripe()),
        ({"subscription": None, "lines": {"data": [line]}}, None),
    ]


def older_others() -> list[Shape]:
    ours = EventReference(stripe_id="sub_1", our_id=OURS)
    paid = EventReference(handler=Handler.PAYMENT_HINT, stripe_id="pi_1", our_id=OURS)
    return [
        # The invoice of an intent and of a charge, and an intent's charges, were in themselves.
        ({"object": "payment_intent", "id": "pi_1", "invoice": "in_1", "metadata": {}}, None),
        (
            {"object": "payment_intent", "id": "pi_1", "charges": {"data": []}, "metadata": PAID},
            paid,
        ),
        (
            {
                "object": "charge",
                "payment_intent": "pi_1",
                "invoice": "in_1",
                "refunds": {"data": [{"object": "refund", "id": "re_1"}]},
                "metadata": PAID,
            },
            paid,
        ),
        # Before 2019 a charge or refund had no intent.
        ({"object": "charge", "metadata": {}}, None),
        ({"object": "refund", "charge": "ch_1", "metadata": {}}, None),
        # A subscription had its period and one plan at the top.
        (
            {
                "object": "subscription",
                "id": "sub_1",
                "plan": {"id": "plan_1"},
                "current_period_end": 1,
                "metadata": METADATA,
            },
            ours,
        ),
    ]


def ours_at_stripe() -> EventReference:
    return EventReference(stripe_id="sub_1")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            event({"object": "subscription", "id": "sub_1", "metadata": METADATA}),
            EventReference(stripe_id="sub_1", our_id=OURS),
        ),
        (
            event({"object": "subscription", "id": "sub_1", "metadata": None}),
            EventReference(stripe_id="sub_1"),
        ),
        (
            event(invoice(subscription="sub_1", metadata=METADATA)),
            EventReference(stripe_id="sub_1", our_id=OURS),
        ),
        (
            event(invoice(subscription={"id": "sub_1"}, metadata={"subscription_id": "no uuid"})),
            EventReference(stripe_id="sub_1"),
        ),
        (event(invoice(metadata=METADATA)), EventReference(our_id=OURS)),
        (
            event({"object": "checkout.session", "subscription": "sub_1", "metadata": METADATA}),
            EventReference(stripe_id="sub_1", our_id=OURS),
        ),
        (event({"object": "checkout.session", "subscription": None, "metadata": {}}), None),
        (event(invoice(metadata={"subscription_id": 7})), None),
        (event({"object": "invoice", "parent": None}), None),
        (
            event({"object": "customer", "id": "cus_1"}),
            EventReference(handler=Handler.CUSTOMER, stripe_id="cus_1"),
        ),
        (
            event({"object": "payment_method", "id": "pm_1", "customer": "cus_1"}),
            EventReference(handler=Handler.CUSTOMER, stripe_id="cus_1"),
        ),
        (event({"object": "payment_method", "id": "pm_1", "customer": None}), None),
        (event({"object": "product", "id": "prod_1"}), None),
        (
            event({"object": "payment_intent", "id": "pi_1", "metadata": PAID}),
            EventReference(handler=Handler.PAYMENT_HINT, stripe_id="pi_1", our_id=OURS),
        ),
        (event({"object": "payment_intent", "id": "pi_1", "metadata": {}}), None),
        (
            event({"object": "charge", "payment_intent": "pi_1", "metadata": {}}),
            EventReference(handler=Handler.PAYMENT_HINT, stripe_id="pi_1"),
        ),
        (
            event({"object": "refund", "payment_intent": {"id": "pi_1"}, "metadata": PAID}),
            EventReference(handler=Handler.PAYMENT_HINT, stripe_id="pi_1", our_id=OURS),
        ),
        (event({"object": "refund", "payment_intent": None, "metadata": None}), None),
        (
            event({"object": "dispute", "payment_intent": "pi_1", "metadata": {}}),
            EventReference(handler=Handler.PAYMENT_HINT, stripe_id="pi_1"),
        ),
        *older_shapes(),
        (event("nothing"), None),
        ({"id": "evt_1"}, None),
    ],
)
def test_an_event_names_its_subscription(
    body: dict[str, Any], expected: EventReference | None
) -> None:
    assert reference_of(body) == expected


def owner(stripe_id: str | None, our_id: UUID = OURS) -> EventOwner:
    return EventOwner(
        our_id=our_id,
        user_id=uuid4(),
        stripe_id=stripe_id,
    )


def test_our_id_counts_before_stripe_told_us_its_own() -> None:
    row = owner(None)
    reference = EventReference(stripe_id="sub_1", our_id=OURS)
    assert owner_of(reference, [owner("sub_2", uuid4()), row]) == row


def test_our_id_on_anothers_subscription_is_not_believed() -> None:
    edited = EventReference(stripe_id="sub_2", our_id=OURS)
    real = owner("sub_2", uuid4())
    assert owner_of(edited, [owner("sub_1"), real]) == real
    assert owner_of(edited, [owner("sub_1")]) is None


def test_stripes_id_alone_is_enough_and_no_id_is_nobodys() -> None:
    row = owner("sub_1")
    assert owner_of(EventReference(stripe_id="sub_1"), [row]) == row
    assert owner_of(EventReference(our_id=uuid4()), [owner(None)]) is None


def test_every_type_has_a_handler_that_exists() -> None:
    # Temporal drops a signal that has no handler, and says nothing.
    hears = {Handler.HINT: SubscriptionWorkflow, Handler.PAYMENT_HINT: PaymentWorkflow}
    # Reason: events of customers and meters start a workflow of their own, and signal none.
    signal_free = {Handler.IGNORED, Handler.CUSTOMER, Handler.METER}
    for event_type, handler in HANDLED_TYPES.items():
        if handler not in signal_free:
            definition = workflow._Definition.must_from_class(hears[handler])
            assert str(handler) in definition.signals, event_type


def test_unknown_types_are_looked_into_and_counted_together() -> None:
    assert handler_of("customer.subscription.teleported") is Handler.HINT
    assert handler_of("customer.updated") is Handler.CUSTOMER
    assert handler_of("customer.created") is Handler.IGNORED
    assert type_label("customer.subscription.teleported") == "other"
    assert type_label("invoice.paid") == "invoice.paid"


def signature(body: bytes, secret: str, at: float | None = None) -> str:
    stamp = int(at if at is not None else time.time())
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def test_current_and_previous_secret_are_accepted() -> None:
    for secret in ("whsec_new", "whsec_old"):
        verify_webhook(b"{}", signature(b"{}", secret), ["whsec_new", "whsec_old"])


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"{}", ""),
        (b"{}", "rubbish"),
        (b"{}", "t=1"),
        (b"{}", "t=now,v1=0"),
        (b"{}", f"t={int(time.time())},v1=\xfc"),
        (b"{}", signature(b"{}", "whsec_wrong")),
        (b"{ }", signature(b"{}", "whsec_new")),
        (b"\xff", signature(b"\xff", "whsec_new")),
        (b"{}", signature(b"{}", "whsec_new", time.time() - TOLERANCE_SECONDS - 5)),
        (b"{}", signature(b"{}", "whsec_new").replace("v1=", "v0=")),
    ],
    ids=range(10),
)
def test_anything_else_is_refused(body: bytes, header: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        verify_webhook(body, header, ["whsec_new", "whsec_old"])
    assert refused.value.error_code == "invalid_signature"


def test_a_thin_event_names_its_meter() -> None:
    told: dict[str, Any] = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": METER_ERRORS,
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/x"},
    }
    assert handler_of(METER_ERRORS) is Handler.METER
    assert reference_of(told) == EventReference(handler=Handler.METER, stripe_id="mtr_1")
    assert reference_of(told | {"related_object": None}) is None
    assert METER_ERRORS not in REQUIRED_EVENT_TYPES
