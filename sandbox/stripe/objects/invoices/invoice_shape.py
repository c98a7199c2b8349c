"""What invoices, their lines and their payments look like."""

from sandbox.stripe.balances import applied
from sandbox.stripe.objects.customers.customer_currency import balance_of
from sandbox.stripe.session import Object, Session, listing, new_id

_BLANK: Object = {
    "account_country": "US",
    "account_name": "Sandbox",
    "account_tax_ids": None,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_shipping": 0,
    "application": None,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": True,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": False,
        "liability": None,
        "provider": None,
        "status": None,
    },
    "collection_method": "charge_automatically",
    "custom_fields": None,
    "customer_account": None,
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "last_finalization_error": None,
    "latest_revision": None,
    "livemode": False,
    "metadata": {},
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "payment_settings": {
        "default_mandate": None,
        "payment_method_options": None,
        "payment_method_types": None,
    },
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "status": "draft",
    "status_details": None,
    "status_transitions": {
        "finalized_at": None,
        "marked_uncollectible_at": None,
        "paid_at": None,
        "voided_at": None,
    },
    "test_clock": None,
    "total_discount_amounts": [],
    "total_pretax_credit_amounts": [],
    "total_taxes": [],
}


def draft(
    session: Session,
    customer: Object,
    invoice_id: str,
    currency: str,
    lines: list[Object],
    **fields: object,
) -> Object:
    """Return a draft; `fields` replace the defaults."""
    return {
        **_BLANK,
        "id": invoice_id,
        "object": "invoice",
        "created": session.now,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "lines": listing(f"/v1/invoices/{invoice_id}/lines", lines),
        "parent": None,
        "period_end": session.now,
        "period_start": session.now,
        "webhooks_delivered_at": session.now,
        "_days_until_due": None,
        **totals(lines, balance_of(customer, currency), currency),
        **fields,
    }


def totals(lines: list[Object], balance: int, currency: str) -> Object:
    """Return the amounts of a draft with these lines, for a customer with this balance."""
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(d["amount"] for line in lines for d in line["discount_amounts"])
    due, _ = applied(total, balance, currency)
    return {
        "amount_due": due,
        "amount_remaining": due,
        "starting_balance": balance,
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_excluding_tax": total,
    }


def as_upcoming(invoice: Object) -> Object:
    """Return a draft as a preview shows it: it has no place of its own."""
    preview_id = f"upcoming_{invoice['id']}"
    lines = [{**line, "invoice": preview_id} for line in invoice["lines"]["data"]]
    return {
        **invoice,
        "id": preview_id,
        "automatically_finalizes_at": None,
        "lines": listing(f"/v1/invoices/{preview_id}/lines", lines),
        "status": "draft",
        "webhooks_delivered_at": None,
    }


def of_subscription(subscription: Object, proration_date: int | None = None) -> Object:
    """Return an invoice's parent."""
    details: Object = {
        "metadata": dict(subscription["metadata"]),
        "subscription": subscription["id"],
    }
    if proration_date is not None:
        details["subscription_proration_date"] = proration_date
    return {
        "quote_details": None,
        "subscription_details": details,
        "type": "subscription_details",
    }


def payment_by_record(session: Session, invoice: Object, record: Object) -> Object:
    """Return the link between an invoice and a payment that was made elsewhere."""
    value = record["amount_guaranteed"]["value"]
    times = {"canceled_at": None, "paid_at": session.now}
    return {
        **payment(session, invoice, record),
        "amount_paid": value,
        "amount_requested": value,
        "is_default": False,
        "payment": {"payment_record": record["id"], "type": "payment_record"},
        "status": "paid",
        "status_transitions": times,
    }


def payment(session: Session, invoice: Object, intent: Object) -> Object:
    """Return the link between an invoice and its payment intent."""
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": session.now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
