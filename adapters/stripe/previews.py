"""Previews of invoices at Stripe."""

from collections.abc import Iterable
from typing import Any

import stripe

from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.reading import entries, field, object_id, required, required_time
from adapters.stripe.snapshots import is_period_line
from domain.errors import NotFoundError
from domain.subscriptions.previews import (
    ChangeTerms,
    CouponSnapshot,
    InvoicePreview,
    NewTerms,
    PreviewLine,
)
from domain.subscriptions.snapshots import SubscriptionSnapshot

LINE_PAGE_SIZE = 100


class StripePreviews:
    """Asks Stripe what a change or a new subscription costs; nothing is changed by it."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def change_now(
        self, subscription: SubscriptionSnapshot, terms: ChangeTerms, key: str
    ) -> InvoicePreview | None:
        """Return the invoice of a change at once; None if the change brings none.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        details: dict[str, Any] = {"proration_behavior": "always_invoice"}
        if terms.proration_date is not None:
            details["proration_date"] = terms.proration_date
        return await self._preview(_of_change(subscription, terms, details), key)

    async def renewal(
        self, subscription: SubscriptionSnapshot, terms: ChangeTerms, key: str
    ) -> InvoicePreview | None:
        """Return the next renewal with changed terms; None if there is none.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        params = _of_change(subscription, terms, {"proration_behavior": "none"})
        if subscription.stripe_schedule_id is not None:
            # Reason: the renewal of a subscription with a schedule is that of the next phase; a
            # change replaces the schedule, so the renewal is that of a subscription without one.
            params = _alone(subscription, terms)
        return await self._preview(params, key)

    async def start(
        self,
        stripe_customer_id: str | None,
        terms: NewTerms,
        coupon: CouponSnapshot | None,
        key: str,
    ) -> InvoicePreview:
        """Return the first invoice of a new subscription without a trial.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        item = {"price": terms.stripe_price_id, "quantity": terms.quantity}
        params: dict[str, Any] = {"subscription_details": {"items": [item]}}
        if stripe_customer_id is not None:
            params["customer"] = stripe_customer_id
        if coupon is not None:
            params["discounts"] = [wish_of(coupon)]
        preview = await self._preview(params, key)
        if preview is None:
            raise NotFoundError("Stripe previews no invoice")
        return preview

    async def _preview(self, params: Any, key: str) -> InvoicePreview | None:
        try:
            with translate_stripe_errors():
                found = await self._client.v1.invoices.create_preview_async(
                    params,
                    {"idempotency_key": key},
                )
                lines = entries(found, "lines")
                if field(found, "lines.has_more"):
                    lines = await self._all_lines(required(found, "id"))
        except NotFoundError as error:
            if error.details.get("stripe_code") != "invoice_upcoming_none":
                raise
            return None
        return _invoice_preview(found, lines)

    async def _all_lines(self, preview_id: str) -> list[stripe.InvoiceLineItem]:
        page = await self._client.v1.invoices.line_items.list_async(
            preview_id,
            {"limit": LINE_PAGE_SIZE},
        )
        return [line async for line in page.auto_paging_iter()]


def wish_of(coupon: CouponSnapshot) -> dict[str, str]:
    """Return an entry of the parameter `discounts` for a coupon or its promotion code."""
    if coupon.stripe_promotion_code_id is not None:
        return {"promotion_code": coupon.stripe_promotion_code_id}
    return {"coupon": coupon.coupon}


def item_of(subscription: SubscriptionSnapshot, terms: ChangeTerms) -> dict[str, Any]:
    """Return an entry of the parameter `items` that changes a subscription's item.

    Both price and quantity are named, since Stripe sets the quantity to 1 with a new price.
    """
    return {
        "id": subscription.stripe_item_id,
        "price": terms.stripe_price_id or subscription.stripe_price_id,
        "quantity": terms.quantity or subscription.quantity,
    }


def _of_change(
    subscription: SubscriptionSnapshot, terms: ChangeTerms, details: dict[str, Any]
) -> dict[str, Any]:
    return {
        "subscription": subscription.stripe_subscription_id,
        "subscription_details": {**details, "items": [item_of(subscription, terms)]},
    }


def _alone(subscription: SubscriptionSnapshot, terms: ChangeTerms) -> dict[str, Any]:
    """Return the parameters for a new subscription of the same customer and discounts."""
    item = {name: value for name, value in item_of(subscription, terms).items() if name != "id"}
    params: dict[str, Any] = {
        "customer": subscription.stripe_customer_id,
        "subscription_details": {"items": [item]},
    }
    if subscription.discounts:
        params["discounts"] = [
            {"discount": each.stripe_discount_id} for each in subscription.discounts
        ]
    return params


def _invoice_preview(found: stripe.Invoice, lines: Iterable[object]) -> InvoicePreview:
    return InvoicePreview(
        currency_code=required(found, "currency"),
        total_cents=required(found, "total"),
        amount_due_cents=required(found, "amount_due"),
        starting_balance_cents=field(found, "starting_balance") or 0,
        invoiced_at=required_time(found, "created"),
        proration_date=field(found, "parent.subscription_details.subscription_proration_date"),
        lines=tuple(_line(line) for line in lines),
    )


def _line(line: object) -> PreviewLine:
    item, invoice_item = (
        field(line, "parent.subscription_item_details"),
        field(line, "parent.invoice_item_details"),
    )
    return PreviewLine(
        description=field(line, "description"),
        amount_cents=required(line, "amount"),
        discount_cents={
            object_id(field(cut, "discount")) or "": field(cut, "amount") or 0
            for cut in field(line, "discount_amounts") or []
        },
        quantity=field(line, "quantity"),
        period_start=required_time(line, "period.start"),
        period_end=required_time(line, "period.end"),
        is_proration=bool(field(item, "proration") or field(invoice_item, "proration")),
        is_period=is_period_line(line),
        stripe_invoice_item_id=field(item or invoice_item, "invoice_item"),
    )
