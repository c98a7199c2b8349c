"""The sandbox takes no parameter, and no value of one, that the installed SDK does not know."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import stripe.params
from typing_extensions import is_typeddict

from sandbox.stripe import params
from sandbox.stripe.app import ROUTES
from sandbox.stripe.checks import methods
from sandbox.stripe.routing import Route

NAMES = {
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/customers": "CustomerListParams",
    "POST /v1/customers/{id}": "CustomerUpdateParams",
    "GET /v1/customers/{id}/payment_methods": "CustomerListPaymentMethodsParams",
    "POST /v1/customers/{id}/balance_transactions": "CustomerBalanceTransactionCreateParams",
    "GET /v1/customers/{id}/balance_transactions": "CustomerBalanceTransactionListParams",
    "POST /v1/customers/{id}/balance_transactions/{id}": "CustomerBalanceTransactionUpdateParams",
    "POST /v1/test_helpers/test_clocks": "test_helpers.TestClockCreateParams",
    "GET /v1/test_helpers/test_clocks": "test_helpers.TestClockListParams",
    "POST /v1/test_helpers/test_clocks/{id}/advance": "test_helpers.TestClockAdvanceParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
    "GET /v1/webhook_endpoints": "WebhookEndpointListParams",
    "POST /v1/webhook_endpoints/{id}": "WebhookEndpointUpdateParams",
    "POST /v1/billing/meters": "billing.MeterCreateParams",
    "GET /v1/billing/meters": "billing.MeterListParams",
    "POST /v1/billing/meters/{id}": "billing.MeterUpdateParams",
    "POST /v1/billing/meter_events": "billing.MeterEventCreateParams",
    "POST /v1/billing/meter_event_adjustments": "billing.MeterEventAdjustmentCreateParams",
    "GET /v1/billing/meters/{id}/event_summaries": "billing.MeterEventSummaryListParams",
    "POST /v1/billing_portal/configurations": "billing_portal.ConfigurationCreateParams",
    "GET /v1/billing_portal/configurations": "billing_portal.ConfigurationListParams",
    "POST /v1/billing_portal/configurations/{id}": "billing_portal.ConfigurationUpdateParams",
    "POST /v1/billing_portal/sessions": "billing_portal.SessionCreateParams",
    "POST /v1/checkout/sessions": "checkout.SessionCreateParams",
    "GET /v1/checkout/sessions": "checkout.SessionListParams",
    "POST /v1/checkout/sessions/{id}": "checkout.SessionUpdateParams",
    "GET /v1/checkout/sessions/{id}/line_items": "checkout.SessionListLineItemsParams",
    "POST /v1/credit_notes": "CreditNoteCreateParams",
    "GET /v1/credit_notes": "CreditNoteListParams",
    "GET /v1/credit_notes/preview": "CreditNotePreviewParams",
    "GET /v1/credit_notes/preview/lines": "CreditNotePreviewLinesListParams",
    "POST /v1/credit_notes/{id}": "CreditNoteUpdateParams",
    "GET /v1/credit_notes/{id}/lines": "CreditNoteLineItemListParams",
    "POST /v1/coupons": "CouponCreateParams",
    "GET /v1/coupons": "CouponListParams",
    "POST /v1/coupons/{id}": "CouponUpdateParams",
    "POST /v1/promotion_codes": "PromotionCodeCreateParams",
    "GET /v1/promotion_codes": "PromotionCodeListParams",
    "POST /v1/promotion_codes/{id}": "PromotionCodeUpdateParams",
    "POST /v1/products": "ProductCreateParams",
    "GET /v1/products": "ProductListParams",
    "POST /v1/products/{id}": "ProductUpdateParams",
    "POST /v1/prices": "PriceCreateParams",
    "GET /v1/prices": "PriceListParams",
    "POST /v1/prices/{id}": "PriceUpdateParams",
    "GET /v1/payment_methods": "PaymentMethodListParams",
    "POST /v1/payment_methods": "PaymentMethodCreateParams",
    "POST /v1/payment_methods/{id}": "PaymentMethodUpdateParams",
    "POST /v1/payment_methods/{id}/attach": "PaymentMethodAttachParams",
    "POST /v1/setup_intents": "SetupIntentCreateParams",
    "GET /v1/setup_intents": "SetupIntentListParams",
    "GET /v1/setup_intents/{id}": "SetupIntentRetrieveParams",
    "POST /v1/setup_intents/{id}": "SetupIntentUpdateParams",
    "POST /v1/setup_intents/{id}/cancel": "SetupIntentCancelParams",
    "GET /v1/setup_attempts": "SetupAttemptListParams",
    "POST /v1/setup_intents/{id}/confirm": "SetupIntentConfirmParams",
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "GET /v1/payment_intents/{id}": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/{id}": "PaymentIntentUpdateParams",
    "POST /v1/payment_intents/{id}/capture": "PaymentIntentCaptureParams",
    "POST /v1/payment_intents/{id}/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/{id}/cancel": "PaymentIntentCancelParams",
    "GET /v1/charges": "ChargeListParams",
    "POST /v1/charges/{id}": "ChargeUpdateParams",
    "POST /v1/charges/{id}/capture": "ChargeCaptureParams",
    "GET /v1/balance_transactions": "BalanceTransactionListParams",
    "GET /v1/disputes": "DisputeListParams",
    "POST /v1/disputes/{id}": "DisputeUpdateParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "POST /v1/refunds/{id}": "RefundUpdateParams",
    "POST /v1/subscriptions": "SubscriptionCreateParams",
    "GET /v1/subscriptions": "SubscriptionListParams",
    "POST /v1/subscriptions/{id}": "SubscriptionUpdateParams",
    "DELETE /v1/subscriptions/{id}": "SubscriptionCancelParams",
    "POST /v1/subscriptions/{id}/pause": "SubscriptionPauseParams",
    "POST /v1/subscriptions/{id}/resume": "SubscriptionResumeParams",
    "POST /v1/subscription_schedules": "SubscriptionScheduleCreateParams",
    "GET /v1/subscription_schedules": "SubscriptionScheduleListParams",
    "POST /v1/subscription_schedules/{id}": "SubscriptionScheduleUpdateParams",
    "POST /v1/subscription_schedules/{id}/release": "SubscriptionScheduleReleaseParams",
    "POST /v1/subscription_schedules/{id}/cancel": "SubscriptionScheduleCancelParams",
    "POST /v1/subscription_items": "SubscriptionItemCreateParams",
    "GET /v1/subscription_items": "SubscriptionItemListParams",
    "POST /v1/subscription_items/{id}": "SubscriptionItemUpdateParams",
    "DELETE /v1/subscription_items/{id}": "SubscriptionItemDeleteParams",
    "POST /v1/invoiceitems": "InvoiceItemCreateParams",
    "GET /v1/invoiceitems": "InvoiceItemListParams",
    "POST /v1/invoiceitems/{id}": "InvoiceItemUpdateParams",
    "POST /v1/invoices": "InvoiceCreateParams",
    "POST /v1/invoices/create_preview": "InvoiceCreatePreviewParams",
    "POST /v1/invoices/{id}/add_lines": "InvoiceAddLinesParams",
    "POST /v1/invoices/{id}/remove_lines": "InvoiceRemoveLinesParams",
    "GET /v1/invoices": "InvoiceListParams",
    "POST /v1/invoices/{id}": "InvoiceUpdateParams",
    "POST /v1/invoices/{id}/pay": "InvoicePayParams",
    "POST /v1/invoices/{id}/finalize": "InvoiceFinalizeInvoiceParams",
    "GET /v1/invoices/{id}/lines": "InvoiceListLinesParams",
    "GET /v1/invoice_payments": "InvoicePaymentListParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/charges/{id}/refunds": "RefundListParams",
    "POST /v1/invoices/{id}/attach_payment": "InvoiceAttachPaymentParams",
    "POST /v1/payment_records/report_payment": "PaymentRecordReportPaymentParams",
    "GET /v1/customers/{id}/subscriptions": "SubscriptionListParams",
}

_PLAIN = {params.Integer: int, params.Boolean: bool, params.Number: float}
_ELSEWHERE = {"StripeContext": object, "Mapping": Mapping}  # names the SDK's modules do not import


def strangers(taken: params.Param, known: Any, path: str) -> Iterator[str]:
    """Yield the paths of what the sandbox takes and the SDK does not declare."""
    arms = list(_arms(known))
    match taken:
        case params.Group():
            yield from _strange_names(taken, arms, path)
        case params.Unsettable(wrapped):
            yield from strangers(wrapped, known, path)
        case params.Many(item):
            inner = [get_args(arm)[0] for arm in arms if get_origin(arm) is list]
            yield from strangers(item, inner[0], f"{path}[]") if inner else [f"{path}: no list"]
        case params.Choice(values):
            literals = [get_args(arm) for arm in arms if get_origin(arm) is Literal]
            known_values = {value for literal in literals for value in literal}
            if known_values or str not in arms:
                yield from (
                    f"{path}: {v!r} is no value of it" for v in values if v not in known_values
                )
        case params.Integer() | params.Boolean() | params.Number():
            wanted = _PLAIN[type(taken)]
            if wanted not in arms:
                yield f"{path}: is no {wanted.__name__}"


def _strange_names(taken: params.Group, arms: list[Any], path: str) -> Iterator[str]:
    hints: dict[str, Any] = {}
    for group in filter(is_typeddict, arms):
        hints |= get_type_hints(group, localns=_ELSEWHERE)
    for name, inner in taken.fields.items():
        if name in hints:
            yield from strangers(inner, hints[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: unknown"


def _arms(known: Any) -> Iterator[Any]:
    """Yield the alternatives of a type."""
    if get_origin(known) in {Literal, list, dict} or not get_args(known):
        yield known
        return
    for arm in get_args(known):
        yield from _arms(arm)


def named(route: Route) -> Any:
    name = NAMES.get(f"{route.method} {route.pattern}")
    if name is not None:
        return attrgetter(name)(stripe.params)
    found = methods.find(route.method, route.pattern)
    assert found is not None
    return found.params


FROM_BROWSERS = [".client_secret: unknown"]  # in Stripe's OpenAPI document, not in stripe-python
UNDOCUMENTED = ("/v1/payment_pages/",)  # Stripe's CLI uses them, stripe-python does not
WITH_PARAMS = [
    route for route in ROUTES if route.params.fields and not route.pattern.startswith(UNDOCUMENTED)
]


@pytest.mark.parametrize("route", WITH_PARAMS, ids=lambda r: f"{r.method} {r.pattern}")
def test_parameters_are_stripes(route: Route) -> None:
    declared = named(route)
    assert list(strangers(route.params, declared, "")) in ([], FROM_BROWSERS)
    assert declared.__required_keys__ <= set(route.params.required)


def test_strangers_are_found() -> None:
    fields: dict[str, params.Param] = {
        "colour": params.Text(),
        "items": params.Many(params.Group({"prise": params.Text()})),
        "payment_behavior": params.Choice(("hope", "allow_incomplete")),
        "off_session": params.Integer(),
    }
    found = strangers(params.Group(fields), stripe.params.SubscriptionCreateParams, "")
    assert sorted(found) == [
        ".colour: unknown",
        ".items[].prise: unknown",
        ".off_session: is no int",
        ".payment_behavior: 'hope' is no value of it",
    ]
