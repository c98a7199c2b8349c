"""Each invariant sees a violation that is planted, and nothing in a life that went well."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.campaign import invariants
from tests.campaign.evidence import Change, Evidence, Policy, Told, Word
from tests.campaign.invariants import ALWAYS, ONCE_QUIET, broken
from tests.campaign.phases import Phase

Json = dict[str, Any]
DAY = 86_400
START, FAILED, PAID, CANCELED = 1_000.0, 2_000.0, 2_010.0, 3_000.0


def charge(at: float, invoice: str | None, outcome: str = "succeeded", **more: Any) -> Json:
    row = {
        "kind": "charge", "outcome": outcome, "amount": 2_900, "customer": "cus_1",
        "subscription": "sub_1" if invoice else None, "invoice": invoice,
        "payment_intent": f"pi_{invoice}", "charge": f"ch_{at:.0f}", "idempotency_key": None,
        "decline_code": None if outcome == "succeeded" else "insufficient_funds",
        "wall_time": at, "sandbox_time": at,
    }  # fmt: skip
    return row | more


def invoice(name: str, reason: str, status: str = "paid", **more: Any) -> Json:
    row = {
        "id": name, "status": status, "attempted": True, "billing_reason": reason,
        "collection_method": "charge_automatically", "amount_remaining": 0, "amount_paid": 2_900,
        "parent": {"subscription_details": {"subscription": "sub_1"}},
    }  # fmt: skip
    return row | more


def request(method: str, path: str, at: float, **more: Any) -> Json:
    row = {
        "method": method, "path": path, "wall_time": at, "status": 200, "fault": None,
        "user_agent": "Stripe/v1 PythonBindings", "decline_code": None, "error_code": None,
        "replayed": False, "idempotency_key": "k:1" if method == "POST" else None,
    }  # fmt: skip
    return row | more


def view(**more: Any) -> Json:
    return {
        "subscription_id": "s-1", "stripe_subscription_id": "sub_1", "access": "full",
        "subscription_status": "active", "grace_ends_at": None, "parked_reason": None,
        "plan_id": "p-1", "quantity": 1, "stripe_price_id": "price_1", "cancel_at": None,
        "trial_end": None, "current_period_end": "1970-01-02T00:00:00Z",
    } | more  # fmt: skip


def payment(name: str, **more: Any) -> Json:
    return {
        "payment_id": f"p-{name}", "stripe_payment_intent_id": f"pi_{name}", "refunded_cents": 0,
        "payment_status": "succeeded",
    } | more  # fmt: skip


def a_good_life() -> Evidence:
    """Subscribed, declined once at the renewal, recovered."""
    attempt = {"trigger": "scheduled", "outcome": "succeeded"}
    retry = {
        "payment_retry_id": "r-1", "stripe_invoice_id": "in_2", "retry_status": "recovered",
        "attempts": [attempt], "subscription_id": "s-1",
    }  # fmt: skip
    subscription = {
        "id": "sub_1", "status": "active", "customer": "cus_1", "ended_at": None,
        "metadata": {"subscription_id": "s-1"}, "cancel_at": None, "trial_end": None,
        "items": {
            "data": [{"quantity": 1, "price": {"id": "price_1"}, "current_period_end": DAY}],
        },
    }  # fmt: skip
    return Evidence(
        "eve@example.com",
        Policy(),
        Told(marks=[(START - 5, Phase.START), (FAILED - 5, Phase.PAST_DUE)], cards=[(500, "pm_1")]),
        ledger=[
            charge(START, "in_1", idempotency_key="k-1"),
            charge(FAILED, "in_2", "failed"),
            charge(PAID, "in_2", idempotency_key="k-2"),
        ],
        log=[request("POST", "/v1/subscriptions", START)],
        customer={"id": "cus_1", "invoice_settings": {"default_payment_method": "pm_1"}},
        subscriptions=[subscription],
        invoices=[invoice("in_2", "subscription_cycle"), invoice("in_1", "subscription_create")],
        cards=[{"id": "pm_1"}],
        views=[view()],
        view_invoices=[
            {"stripe_invoice_id": name, "invoice_status": "paid", "amount_paid_cents": 2_900}
            for name in ("in_1", "in_2")
        ],
        payments=[payment("in_1"), payment("in_2")],
        retries=[retry],
        view_cards=[{"stripe_payment_method_id": "pm_1", "is_default": True}],
        entitlements={"access": "full"},
        mails=[
            {"subject": "Your payment failed", "text": "", "received_at": FAILED + 1},
            {
                "subject": "Thank you, your payment arrived",
                "text": "",
                "message_id": "<1@x>",
                "received_at": PAID + 1,
            },
        ],
        workflows={"subscription-s-1": "running"},
        now=PAID + 60,
    )


def canceled(seen: Evidence) -> None:
    """End a life by the customer's word."""
    word = Word("cancel", CANCELED - 1, CANCELED, 200, "s-1")
    seen.told.words.append(word)
    seen.subscriptions[0] |= {"status": "canceled", "ended_at": CANCELED}
    seen.views[0] |= {"subscription_status": "canceled", "access": "none"}
    seen.entitlements = {"access": "none"}


def owing(seen: Evidence) -> None:
    """Leave the renewal unpaid, with its retry waiting."""
    del seen.ledger[2]
    owed = {"status": "open", "amount_remaining": 2_900, "amount_paid": 0}
    seen.invoices[0] |= owed
    seen.view_invoices[1] |= {"invoice_status": "open", "amount_paid_cents": 0}
    seen.subscriptions[0]["status"] = "past_due"
    grace = "2999-01-01T00:00:00+00:00"
    seen.views[0] |= {
        "subscription_status": "past_due", "access": "grace", "grace_ends_at": grace,
    }  # fmt: skip
    seen.entitlements = {"access": "grace"}
    seen.retries[0] |= {"retry_status": "waiting", "attempts": []}
    del seen.payments[1], seen.mails[1]


def test_a_good_life_breaks_nothing() -> None:
    seen = a_good_life()
    assert broken(seen, (*ALWAYS, *ONCE_QUIET)) == []
    canceled(seen)
    assert broken(seen, (*ALWAYS, *ONCE_QUIET)) == []


def test_a_debt_that_is_collected_breaks_nothing() -> None:
    seen = a_good_life()
    owing(seen)
    assert broken(seen, (*ALWAYS, *ONCE_QUIET)) == []


def test_a_cancel_that_the_workflow_took_after_the_charge_refunds_nothing() -> None:
    seen = a_good_life()
    canceled(seen)
    seen.told.words[0] = Word("cancel", START - 1, CANCELED, 200, "s-1")
    seen.command_times = {"subscription-s-1": [START + 0.5]}
    assert broken(seen, (invariants.nothing_kept_after_cancel,)) == []


Plant = Callable[[Evidence], Any]
PLANTED: list[tuple[str, str, Plant]] = []


def plant(rule: str, words: str) -> Callable[[Plant], Plant]:
    """Register a violation, what finds it, and what that says."""

    def register(how: Plant) -> Plant:
        PLANTED.append((rule, words, how))
        return how

    return register


@plant("one_charge_per_attempt", "2 charges under the key k-2")
def _(seen: Evidence) -> None:
    seen.ledger.append(charge(PAID + 1, "in_2", "failed", idempotency_key="k-2"))


@plant("one_payment_per_invoice", "in_2 was paid 2 times")
def _(seen: Evidence) -> None:
    seen.ledger.append(charge(PAID + 1, "in_2", idempotency_key="k-3"))


@plant("one_subscription_per_order", "2 subscriptions at Stripe for s-1")
def _(seen: Evidence) -> None:
    seen.subscriptions.append(seen.subscriptions[0] | {"id": "sub_2"})


@plant("one_subscription_per_order", "2 customers at Stripe")
def _(seen: Evidence) -> None:
    other = {"id": "sub_2", "customer": "cus_2", "metadata": {}}
    seen.subscriptions.append(seen.subscriptions[0] | other)


@plant("nothing_kept_after_cancel", "2900 taken after the cancel, 0 given back")
def _(seen: Evidence) -> None:
    canceled(seen)
    seen.ledger.append(charge(CANCELED + 1, "in_3", idempotency_key="k-4"))


@plant("nothing_kept_after_cancel", "2900 taken after the cancel")
def a_start_that_is_charged_although_it_was_canceled_before(seen: Evidence) -> None:
    canceled(seen)
    seen.told.words[0] = Word("cancel", START - 1, START + 1, 200, "s-1")
    seen.command_times = {"subscription-s-1": [START - 0.5]}


@plant("no_payment_kept_after_cancel", "for a payment that was canceled")
def _(seen: Evidence) -> None:
    seen.told.words.append(Word("cancel payment", PAID, PAID + 1, 200, "p-x"))
    seen.payments.append(payment("x"))
    seen.ledger.append(charge(PAID + 2, None, payment_intent="pi_x", idempotency_key="k-5"))


@plant("no_late_payment_kept", "for a subscription that was over")
def _(seen: Evidence) -> None:
    canceled(seen)
    seen.told.hosted.append("in_3")
    seen.ledger.append(charge(CANCELED + 5, "in_3"))


@plant("no_dead_card_is_charged", "charged again after lost_card: ch_2010")
def _(seen: Evidence) -> None:
    card = {"card": {"fingerprint": "f"}}
    seen.charges = [
        {"id": "ch_2010", "status": "succeeded", "payment_method_details": card},
        {
            "id": "ch_2000", "status": "failed", "payment_method_details": card,
            "outcome": {"reason": "lost_card"},
        },
    ]  # fmt: skip


@plant("no_more_tries_than_the_policy_has", "3 scheduled tries of in_2")
def _(seen: Evidence) -> None:
    seen.retries[0]["attempts"] = [{"trigger": "scheduled", "outcome": "pending"}] * 3


@plant("no_more_tries_than_the_policy_has", "2 tries told of in_2, 1 made")
def a_decline_that_no_bank_has_said(seen: Evidence) -> None:
    seen.retries[0]["attempts"] *= 2


@plant("every_owed_invoice_is_collected", "in_2 is owed and has no payment retry")
def _(seen: Evidence) -> None:
    owing(seen)
    seen.retries.clear()


@plant("every_owed_invoice_is_collected", "in_2 is owed and its payment retry is exhausted")
def _(seen: Evidence) -> None:
    owing(seen)
    seen.retries[0]["retry_status"] = "exhausted"


@plant("every_owed_invoice_is_collected", "in_2 is open though its subscription is over")
def _(seen: Evidence) -> None:
    owing(seen)
    seen.subscriptions[0]["status"] = "canceled"


@plant("no_retry_without_a_debt", "in_2 is paid, its retry waiting")
def _(seen: Evidence) -> None:
    seen.retries[0]["retry_status"] = "waiting"


@plant("the_last_resort_is_carried_out", "2 tries of in_2 failed")
def _(seen: Evidence) -> None:
    owing(seen)
    seen.ledger.append(charge(PAID, "in_2", "failed", idempotency_key="k-2"))
    seen.retries[0]["attempts"] = [{"trigger": "scheduled", "outcome": "failed"}] * 2


@plant("a_new_card_is_charged", "in_2 was not charged on the card")
def _(seen: Evidence) -> None:
    owing(seen)
    seen.told.cards.append((FAILED + 5, "pm_2"))


@plant("a_card_tried_as_new_is_new", "1 tries of new cards, 0 given since in_2 failed")
def _(seen: Evidence) -> None:
    seen.told.words.append(Word("give card", START - 2, START - 1, 201))
    seen.retries[0]["attempts"] = [{"trigger": "new_card", "outcome": "succeeded"}]


@plant("every_post_is_numbered", "POST /v1/refunds has the key of nobody")
def _(seen: Evidence) -> None:
    seen.log.append(request("POST", "/v1/refunds", PAID, idempotency_key=None))


@plant("every_post_is_numbered", "POST /v1/refunds has the key 7f3c")
def with_a_random_key(seen: Evidence) -> None:
    seen.log.append(request("POST", "/v1/refunds", PAID, idempotency_key="7f3c"))


@plant("a_change_bills_what_was_previewed", "was previewed as 700 and billed as [800]")
def _(seen: Evidence) -> None:
    seen.told.changes.append(Change("s-1", 700, 200))
    seen.invoices.append(invoice("in_3", "subscription_update", total=800))


@plant("a_change_bills_what_was_previewed", "was previewed as 700 and billed as []")
def not_at_all(seen: Evidence) -> None:
    seen.told.changes.append(Change("s-1", 700, 200))


@plant("a_change_bills_what_was_previewed", "was answered 503 was billed as [700, 700]")
def twice(seen: Evidence) -> None:
    seen.told.changes.append(Change("s-1", 700, 503))
    seen.invoices += [invoice(name, "subscription_update", total=700) for name in ("in_3", "in_4")]


@plant("a_change_bills_what_was_previewed", "was answered 402 was billed as [700]")
def although_it_was_declined(seen: Evidence) -> None:
    seen.told.changes.append(Change("s-1", 700, 402))
    seen.invoices.append(invoice("in_3", "subscription_update", "open", total=700))


@plant("the_last_change_is_in_force", "s-1 has quantity 1, not 2")
def _(seen: Evidence) -> None:
    seen.told.terms["quantity"] = 2


@plant("the_view_equals_stripe", "sub_1 has quantity 2, shown as 1")
def _(seen: Evidence) -> None:
    seen.subscriptions[0]["items"]["data"][0]["quantity"] = 2


@plant("the_view_equals_stripe", "sub_1 has current_period_end 86401, shown as 86400")
def _(seen: Evidence) -> None:
    seen.subscriptions[0]["items"]["data"][0]["current_period_end"] += 1


@plant("access_is_what_the_objects_say", "sub_1 is active: access none")
def _(seen: Evidence) -> None:
    seen.views[0]["access"] = "none"
    seen.entitlements["access"] = "none"


@plant("access_is_what_the_objects_say", "sub_1 is past_due: access none")
def taken_from_who_has_paid_all_that_is_open(seen: Evidence) -> None:
    owing(seen)
    seen.invoices[0]["status"] = "draft"
    seen.views[0]["access"] = "none"


@plant("access_is_what_the_objects_say", "sub_1 is past_due: access grace")
def given_after_the_grace(seen: Evidence) -> None:
    owing(seen)
    seen.views[0]["grace_ends_at"] = "1970-01-01T00:00:01+00:00"


@plant("access_is_what_the_objects_say", "sub_1 is active: access full")
def given_though_written_off(seen: Evidence) -> None:
    seen.invoices[0]["status"] = "uncollectible"


@plant("access_is_what_the_objects_say", "entitlements say none")
def _(seen: Evidence) -> None:
    seen.entitlements["access"] = "none"


@plant("the_view_equals_stripe", "sub_1 is past_due, shown as active")
def _(seen: Evidence) -> None:
    seen.subscriptions[0]["status"] = "past_due"


@plant("the_view_equals_stripe", "sub_1 is at Stripe and nobody's here")
def _(seen: Evidence) -> None:
    seen.views[0]["stripe_subscription_id"] = None


@plant("the_view_equals_stripe", "in_2 is not shown")
def _(seen: Evidence) -> None:
    del seen.view_invoices[1]


@plant("the_view_equals_stripe", "in_2 is paid, 2900 paid; shown as open, 0")
def _(seen: Evidence) -> None:
    seen.view_invoices[1] |= {"invoice_status": "open", "amount_paid_cents": 0}


@plant("the_view_equals_stripe", "pi_in_2 took 2900 and is no payment here")
def _(seen: Evidence) -> None:
    del seen.payments[1]


@plant("the_view_equals_stripe", "pi_in_2: 900 refunded, shown 0")
def _(seen: Evidence) -> None:
    refund = {"kind": "refund", "amount": 900}
    seen.ledger.append(charge(PAID + 3, "in_2") | refund)


@plant("the_view_equals_stripe", "pi_x is shown as succeeded and took nothing")
def _(seen: Evidence) -> None:
    seen.payments.append(payment("x"))


@plant("the_view_equals_stripe", "pm_1 is shown and not attached at Stripe")
def _(seen: Evidence) -> None:
    seen.cards.clear()


@plant("the_view_equals_stripe", "pm_2 is attached at Stripe and not shown")
def _(seen: Evidence) -> None:
    seen.cards.append({"id": "pm_2"})
    seen.told.cards.append((600, "pm_2"))


@plant("the_view_equals_stripe", "shown as the default card")
def _(seen: Evidence) -> None:
    assert seen.customer is not None
    seen.customer["invoice_settings"]["default_payment_method"] = "pm_2"


@plant("every_mail_has_its_fact", "and no charge had failed")
def _(seen: Evidence) -> None:
    seen.mails[0]["received_at"] = START + 5


@plant("every_mail_has_its_fact", "and nothing was paid")
def _(seen: Evidence) -> None:
    seen.mails[1]["received_at"] = FAILED + 5


@plant("every_mail_has_its_fact", "as if there were none")
def told_that_there_is_no_card(seen: Evidence) -> None:
    mail = {"subject": "Please add another card", "text": "There is no card that we can charge."}
    seen.mails.append(mail | {"received_at": PAID})


@plant("every_mail_has_its_fact", "Receipt: Pro was renewed', and nothing was paid")
def told_of_a_renewal_that_nobody_paid(seen: Evidence) -> None:
    seen.mails[1] |= {"subject": "Receipt: Pro was renewed", "received_at": FAILED + 5}


@plant("every_mail_has_its_fact", "3 mails of payments for 2 invoices")
def told_of_one_payment_twice(seen: Evidence) -> None:
    for number in (2, 3):
        receipt = {"subject": "Receipt: Pro was renewed", "message_id": f"<{number}@x>"}
        seen.mails.append(seen.mails[1] | receipt)


@plant("every_mail_has_its_fact", "and no subscription ends")
def told_of_an_end_that_is_none(seen: Evidence) -> None:
    seen.mails[0]["subject"] = "Your subscription of Pro is canceled"


@plant("every_mail_has_its_fact", "and we had tried nothing")
def told_of_attempts_that_nobody_made(seen: Evidence) -> None:
    seen.mails[0]["subject"] = "We could not collect your payment"


@plant("every_mail_has_its_fact", "asks to pay what is given up")
def _(seen: Evidence) -> None:
    mail = {"subject": "We could not collect your payment", "text": "Pay at https://x"}
    seen.mails.append(mail | {"received_at": PAID})


@plant("every_mail_has_its_fact", "a mail that nobody knows")
def _(seen: Evidence) -> None:
    seen.mails[0]["subject"] = "Hello"


@plant("every_command_is_answered", "cancel of s-1 has no answer after 20 s")
def _(seen: Evidence) -> None:
    seen.told.words.append(Word("cancel", PAID, PAID + 20, None, "s-1"))


@plant("every_command_is_answered", "give card of  was answered 502")
def _(seen: Evidence) -> None:
    seen.log.append(request("POST", "/v1/customers", START, status=401))
    seen.told.words.append(Word("give card", START - 1, START + 1, 502))


@plant("a_cancel_ends_it", "sub_1 was canceled and is active")
def _(seen: Evidence) -> None:
    canceled(seen)
    seen.subscriptions[0]["status"] = "active"


@plant("a_cancel_ends_it", "in_2 is draft after the cancel")
def _(seen: Evidence) -> None:
    canceled(seen)
    seen.invoices[0]["status"] = "draft"


@plant("nothing_is_stuck", "s-1 is parked: provider_rejected")
def _(seen: Evidence) -> None:
    seen.views[0]["parked_reason"] = "provider_rejected"


@plant("nothing_is_stuck", "p-in_2 is pending for ever")
def _(seen: Evidence) -> None:
    seen.payments[1]["payment_status"] = "pending"


@plant("nothing_is_stuck", "r-1 is charging for ever")
def _(seen: Evidence) -> None:
    seen.retries[0]["retry_status"] = "charging"


@plant("nothing_is_stuck", "workflow subscription-s-1 is failed")
def _(seen: Evidence) -> None:
    seen.workflows["subscription-s-1"] = "failed"


@plant("nothing_is_stuck", "3 events were not taken")
def _(seen: Evidence) -> None:
    seen.pending_webhooks = 3


@plant("nothing_is_stuck", "the story stops")
def _(seen: Evidence) -> None:
    seen.problems.append("the story stops: waited 75 s for active")


@plant("every_call_is_in_the_catalogue", "the catalogue lacks POST /v1/quotes/{id}/accept")
def _(seen: Evidence) -> None:
    seen.log.append(request("POST", "/v1/quotes/qt_0123456789abcdef01234567/accept", PAID))


@pytest.mark.parametrize(("rule", "words", "how"), PLANTED)
def test_a_planted_violation_is_named(rule: str, words: str, how: Plant) -> None:
    seen = a_good_life()
    how(seen)
    found = broken(seen, (getattr(invariants, rule),))
    assert any(words in each for each in found), found


def test_every_invariant_has_its_planted_violation() -> None:
    names = {rule.__name__ for rule in (*ALWAYS, *ONCE_QUIET)}
    assert {rule for rule, _, _ in PLANTED} == names
