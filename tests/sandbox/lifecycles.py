"""What happens in a shop in two months, played at a sandbox through stripe-python."""

import time
from typing import Any

import stripe

from tests.sandbox.servers import Sandbox

_MONTH = {"interval": "month"}
_CARDS = {"allowed_payment_method_types": ["card"]}


class Shop:
    """An account with things to sell, and the customers who come by."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.api = sandbox.api
        self.basic = self._price("Basic", 1_000)
        self.pro = self._price("Pro", 3_000)

    def play(self) -> None:
        """Sell, renew, fail, refund and end, so that every kind of object comes about."""
        self._sell_with_coupon()
        self._fail_a_renewal()
        self._pay_once()
        self._check_out()
        self._schedule()
        self._run_trial()
        self._bill_by_hand()
        self.sandbox.advance(days=32)
        self._change_and_end()
        self.sandbox.advance(days=8)

    def _price(self, name: str, amount: int) -> str:
        product = self.api.products.create({"name": name, "metadata": {"plan": name.lower()}})
        wanted = {"product": product.id, "currency": "usd", "unit_amount": amount}
        return str(self.api.prices.create({**wanted, "recurring": _MONTH}).id)

    def _customer(self, name: str, *script: str) -> str:
        customer = self.api.customers.create(
            {"email": f"{name}@example.com", "name": name, "metadata": {"login": name}}
        )
        card = self.api.payment_methods.attach(
            self.sandbox.card(*script or ("ok",)), {"customer": customer.id}
        )
        settings = {"invoice_settings": {"default_payment_method": card.id}}
        return str(self.api.customers.update(customer.id, settings).id)

    def _subscribe(self, customer: str, price: str, **params: Any) -> Any:
        wanted = {"customer": customer, "items": [{"price": price}], **params}
        return self.api.subscriptions.create(wanted)

    def _sell_with_coupon(self) -> None:
        coupon = self.api.coupons.create(
            {"percent_off": 20, "duration": "repeating", "duration_in_months": 2, "name": "Fifth"}
        )
        code = self.api.promotion_codes.create(
            {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "FIFTH"}
        )
        self.ann = self._customer("ann")
        self.anns = self._subscribe(
            self.ann, self.basic, discounts=[{"promotion_code": code.id}], metadata={"seat": "1"}
        )

    def _fail_a_renewal(self) -> None:
        self.bob = self._customer("bob", "ok", "insufficient_funds")
        self.bobs = self._subscribe(self.bob, self.pro)

    def _pay_once(self) -> None:
        cleo = self._customer("cleo")
        card = self.api.payment_methods.list({"customer": cleo}).data[0].id
        paying = {"customer": cleo, "currency": "usd", "payment_method": card, "confirm": True}
        paid = self.api.payment_intents.create({**paying, **_CARDS, "amount": 5_000})
        self.api.refunds.create({"payment_intent": paid.id, "amount": 1_500})
        disputed = self.api.payment_intents.create(
            {
                "amount": 7_000,
                "currency": "usd",
                "payment_method": "pm_card_createDispute",
                "confirm": True,
                **_CARDS,
            }
        )
        assert disputed.status == "succeeded"
        try:
            self.api.payment_intents.create(
                {
                    **paying,
                    **_CARDS,
                    "amount": 900,
                    "payment_method": self.sandbox.card("lost_card"),
                }
            )
        except stripe.CardError as error:
            assert error.code == "card_declined"  # noqa: PT017 - the decline is part of the play
        self.api.setup_intents.create(
            {"customer": cleo, "payment_method": "pm_card_mastercard", "confirm": True, **_CARDS}
        )

    def _check_out(self) -> None:
        session = self.api.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": self.pro, "quantity": 2}],
                "success_url": "https://shop.example/thanks",
            }
        )
        self.sandbox.control(
            f"checkout/{session.id}/complete",
            payment_method="pm_card_visa",
            email="dora@example.com",
        )

    def _schedule(self) -> None:
        emil = self._customer("emil")
        started = self._subscribe(emil, self.basic)
        schedule = self.api.subscription_schedules.create({"from_subscription": started.id})
        now = schedule.phases[0]
        self.api.subscription_schedules.update(
            schedule.id,
            {
                "phases": [
                    {
                        "items": [{"price": self.basic, "quantity": 1}],
                        "start_date": now.start_date,
                        "end_date": now.end_date,
                    },
                    {
                        "items": [{"price": self.pro, "quantity": 1}],
                        "duration": {**_MONTH, "interval_count": 1},
                    },
                ]
            },
        )

    def _run_trial(self) -> None:
        self._subscribe(self._customer("fay"), self.basic, trial_period_days=7)

    def _bill_by_hand(self) -> None:
        gus = self._customer("gus")
        item = {"customer": gus, "amount": 4_200, "currency": "usd", "description": "Set-up"}
        self.api.invoice_items.create(item)
        wanted = {"customer": gus, "pending_invoice_items_behavior": "include"}
        invoice = self.api.invoices.create({**wanted, "auto_advance": False})
        paid = self.api.invoices.pay(invoice.id)
        assert paid.status == "paid"
        voided = self.api.invoices.create({"customer": gus, "auto_advance": False})
        self.api.invoice_items.create({**item, "invoice": voided.id})
        self.api.invoices.finalize_invoice(voided.id)
        self.api.invoices.void_invoice(voided.id)

    def _change_and_end(self) -> None:
        item = self.api.subscriptions.retrieve(self.anns.id)["items"].data[0].id
        self.api.subscriptions.update(
            self.anns.id,
            {
                "items": [{"id": item, "price": self.pro}],
                "proration_behavior": "always_invoice",
                "proration_date": int(self._now()),
            },
        )
        self.api.subscriptions.cancel(self.bobs.id)

    def _now(self) -> float:
        clock = self.sandbox.see("clock")
        return float(clock["now"] if clock else time.time())
