"""The catalogue of calls that the product makes to Stripe."""

import re
from enum import StrEnum

_ID = re.compile(r"^(?:[a-z]+_)+[A-Za-z0-9]{16,}$")


class Call(StrEnum):
    """A call, by method and path."""

    LIST_CUSTOMERS = "GET /v1/customers"
    CREATE_CUSTOMER = "POST /v1/customers"
    READ_CUSTOMER = "GET /v1/customers/{id}"
    UPDATE_CUSTOMER = "POST /v1/customers/{id}"
    CARDS_OF_CUSTOMER = "GET /v1/customers/{id}/payment_methods"
    ATTACH = "POST /v1/payment_methods/{id}/attach"
    READ_CARD = "GET /v1/payment_methods/{id}"
    LIST_CARDS = "GET /v1/payment_methods"
    DETACH = "POST /v1/payment_methods/{id}/detach"
    SET_UP = "POST /v1/setup_intents"
    LIST_SET_UPS = "GET /v1/setup_intents"
    READ_SET_UP = "GET /v1/setup_intents/{id}"
    CREATE_PRODUCT = "POST /v1/products"
    READ_PRODUCT = "GET /v1/products/{id}"
    UPDATE_PRODUCT = "POST /v1/products/{id}"
    LIST_PRODUCTS = "GET /v1/products"
    CREATE_PRICE = "POST /v1/prices"
    READ_PRICE = "GET /v1/prices/{id}"
    LIST_PRICES = "GET /v1/prices"
    SUBSCRIBE = "POST /v1/subscriptions"
    LIST_SUBSCRIPTIONS = "GET /v1/subscriptions"
    READ_SUBSCRIPTION = "GET /v1/subscriptions/{id}"
    UPDATE_SUBSCRIPTION = "POST /v1/subscriptions/{id}"
    PAUSE = "POST /v1/subscriptions/{id}/pause"
    RESUME = "POST /v1/subscriptions/{id}/resume"
    CANCEL = "DELETE /v1/subscriptions/{id}"
    SCHEDULE = "POST /v1/subscription_schedules"
    READ_SCHEDULE = "GET /v1/subscription_schedules/{id}"
    UPDATE_SCHEDULE = "POST /v1/subscription_schedules/{id}"
    RELEASE_SCHEDULE = "POST /v1/subscription_schedules/{id}/release"
    READ_COUPON = "GET /v1/coupons/{id}"
    LIST_PROMOTION_CODES = "GET /v1/promotion_codes"
    LIST_INVOICE_ITEMS = "GET /v1/invoiceitems"
    CREATE_INVOICE_ITEM = "POST /v1/invoiceitems"
    DELETE_INVOICE_ITEM = "DELETE /v1/invoiceitems/{id}"
    LIST_BALANCE = "GET /v1/customers/{id}/balance_transactions"
    CREDIT_BALANCE = "POST /v1/customers/{id}/balance_transactions"
    CREATE_CHECKOUT = "POST /v1/checkout/sessions"
    READ_CHECKOUT = "GET /v1/checkout/sessions/{id}"
    LIST_CHECKOUTS = "GET /v1/checkout/sessions"
    EXPIRE_CHECKOUT = "POST /v1/checkout/sessions/{id}/expire"
    LIST_PORTAL_SETTINGS = "GET /v1/billing_portal/configurations"
    CREATE_PORTAL_SETTINGS = "POST /v1/billing_portal/configurations"
    UPDATE_PORTAL_SETTINGS = "POST /v1/billing_portal/configurations/{id}"
    CREATE_PORTAL_SESSION = "POST /v1/billing_portal/sessions"
    LIST_INVOICES = "GET /v1/invoices"
    READ_INVOICE = "GET /v1/invoices/{id}"
    READ_LINES = "GET /v1/invoices/{id}/lines"
    UPDATE_INVOICE = "POST /v1/invoices/{id}"
    DELETE_INVOICE = "DELETE /v1/invoices/{id}"
    FINALIZE = "POST /v1/invoices/{id}/finalize"
    PAY = "POST /v1/invoices/{id}/pay"
    VOID = "POST /v1/invoices/{id}/void"
    WRITE_OFF = "POST /v1/invoices/{id}/mark_uncollectible"
    PREVIEW = "POST /v1/invoices/create_preview"
    LIST_INVOICE_PAYMENTS = "GET /v1/invoice_payments"
    CHARGE = "POST /v1/payment_intents"
    LIST_PAYMENTS = "GET /v1/payment_intents"
    READ_PAYMENT = "GET /v1/payment_intents/{id}"
    CANCEL_PAYMENT = "POST /v1/payment_intents/{id}/cancel"
    READ_CHARGE = "GET /v1/charges/{id}"
    LIST_CHARGES = "GET /v1/charges"
    REFUND = "POST /v1/refunds"
    READ_REFUND = "GET /v1/refunds/{id}"
    LIST_REFUNDS = "GET /v1/refunds"
    READ_BALANCE = "GET /v1/balance"
    READ_ACCOUNT = "GET /v1/account"
    LIST_EVENTS = "GET /v1/events"
    READ_EVENT = "GET /v1/events/{id}"

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.value.partition(" ")[0]


def template_of(method: str, path: str) -> str:
    """Return a request's method and path with `{id}` in the place of ids."""
    parts = ["{id}" if _ID.match(part) else part for part in path.split("/")]
    return f"{method} {'/'.join(parts)}"


def call_of(method: str, path: str) -> Call | None:
    """Return which call of the catalogue a request is, None if it is none of them."""
    try:
        return Call(template_of(method, path))
    except ValueError:
        return None
