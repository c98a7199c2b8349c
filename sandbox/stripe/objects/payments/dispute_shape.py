"""What disputes look like."""

from sandbox.stripe import errors
from sandbox.stripe.session import Object, Session, new_id

DAY = 86_400
DAYS_TO_ANSWER = 14
TEXTS = (
    "access_activity_log", "billing_address", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_email_address", "customer_name", "customer_purchase_ip",
    "duplicate_charge_explanation", "duplicate_charge_id", "product_description",
    "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_tracking_number", "uncategorized_text",
)  # fmt: skip
"""Evidence in words."""
_FILES = (
    "cancellation_policy", "customer_communication", "customer_signature",
    "duplicate_charge_documentation", "receipt", "refund_policy", "service_documentation",
    "shipping_documentation", "uncategorized_file",
)  # fmt: skip
_NETWORK_REASONS = {
    ("fraudulent", "visa"): "10.4",
    ("fraudulent", "mastercard"): "4837",
    ("product_not_received", "visa"): "13.1",
    ("product_not_received", "mastercard"): "4855",
}


def dispute(session: Session, charge: Object, *, reason: str, is_inquiry: bool) -> Object:
    """Return a dispute that nobody has answered yet; an inquiry takes no money."""
    if "card" not in charge["payment_method_details"]:
        raise errors.invalid_request("This sandbox has disputes of card payments only.")
    brand = charge["payment_method_details"]["card"]["brand"]
    code = _NETWORK_REASONS.get((reason, brand))
    if is_inquiry and code:
        code = code.partition(".")[0]
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": session.default_now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys((*TEXTS, *_FILES)) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": session.default_now + DAYS_TO_ANSWER * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": is_inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": code,
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network": brand,
                "network_reason_code": code,
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if is_inquiry else "needs_response",
    }
