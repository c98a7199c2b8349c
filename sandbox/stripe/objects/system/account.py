"""The account whose keys are used: there is one, and it has no others connected."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import PAGE, Group, Range
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, listing

ACCOUNT_ID = "acct_1PerdureSandbox0"
_CREATED = 1_735_689_600
_NO_DESCRIPTORS: Object = {
    "statement_descriptor_prefix_kana": None,
    "statement_descriptor_prefix_kanji": None,
}


def check(account_id: str, key: str) -> None:
    """Refuse a `Stripe-Account` that the key has no access to.

    Raises:
        ApiError: If it names an account other than the one there is.
    """
    if account_id != ACCOUNT_ID:
        raise errors.no_access(key, account_id)


def retrieve(_session: Session, _params: dict[str, Any]) -> Object:
    """GET /v1/account."""
    return _body()


def retrieve_named(_session: Session, _params: dict[str, Any], account_id: str) -> Object:
    """GET /v1/accounts/{id}: only one's own can be seen."""
    check(account_id, "sk_test_")
    return _body()


def list_connected(_session: Session, _params: dict[str, Any]) -> Object:
    """GET /v1/accounts: those connected, and one's own is not among them."""
    return listing("/v1/accounts", [])


def _body() -> Object:
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": _profile(),
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": _CREATED,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "external_accounts": listing(f"/v1/accounts/{ACCOUNT_ID}/external_accounts", []),
        "metadata": {},
        "payouts_enabled": True,
        "settings": _settings(),
        "type": "standard",
    }


def _profile() -> Object:
    names = (
        "mcc", "product_description", "support_address", "support_email", "support_phone",
        "support_url", "url",
    )  # fmt: skip
    return dict.fromkeys(names) | {"name": "Sandbox"}


def _settings() -> Object:
    return {
        "bacs_debit_payments": {"display_name": None, "service_user_number": None},
        "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            "statement_descriptor_prefix": None,
            **_NO_DESCRIPTORS,
        },
        "dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": "offer"},
        "payments": {
            "statement_descriptor": "SANDBOX",
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
        },
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": "daily"},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }


ROUTES = (
    Route("GET", "/v1/account", retrieve),
    Route("GET", "/v1/accounts", list_connected, Group({**PAGE, "created": Range()})),
    Route("GET", "/v1/accounts/{id}", retrieve_named),
)
