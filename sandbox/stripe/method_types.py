"""Types of payment methods: cards, and others that are there to be read and charged."""

from typing import Any

TYPES = ("card", "cashapp", "link", "sepa_debit", "us_bank_account")
"""What an intent can be told to take; of these only cards are compatible with this account."""

_BANK: dict[str, Any] = {
    "account_holder_type": "individual",
    "account_type": "checking",
    "bank_name": "STRIPE TEST BANK",
    "financial_connections_account": None,
    "fingerprint": "FFDMA0xfhBjWSZLu",
    "last4": "6789",
    "networks": {"preferred": "ach", "supported": ["ach"]},
    "routing_number": "110000000",
    "status_details": None,
}
_SEPA: dict[str, Any] = {
    "bank_code": "37040044",
    "branch_code": "",
    "country": "DE",
    "fingerprint": "FD81kbVPe7M05BMj",
    "generated_from": {"charge": None, "setup_attempt": None},
    "last4": "3000",
}
OTHERS: dict[str, dict[str, Any]] = {
    "cashapp": {"buyer_id": None, "cashtag": "$eve"},
    "link": {"email": "eve@example.com"},
    "sepa_debit": _SEPA,
    "us_bank_account": _BANK,
}
"""What objects of the other types have in place of `card`."""

_CHARGED: dict[str, dict[str, Any]] = {
    "cashapp": {"buyer_id": None, "cashtag": "$eve", "transaction_id": None},
    "link": {"country": None},
    "sepa_debit": {
        **{name: value for name, value in _SEPA.items() if name != "generated_from"},
        "mandate": None,
    },
    "us_bank_account": {
        **{
            name: _BANK[name]
            for name in (
                "account_holder_type",
                "account_type",
                "bank_name",
                "fingerprint",
                "last4",
                "routing_number",
            )
        },
        "payment_reference": None,
    },
}


def charged(method: dict[str, Any]) -> dict[str, Any]:
    """Return the details of a charge by another method than a card."""
    kind: str = method["type"]
    details = {name: method[kind].get(name, value) for name, value in _CHARGED[kind].items()}
    return {kind: details, "type": kind}


def set_up(kind: str) -> dict[str, Any]:
    """Return the details of a set-up of another method than a card."""
    return {kind: {}, "type": kind}
