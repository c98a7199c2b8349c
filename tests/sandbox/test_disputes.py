"""Disputes: opened, answered, decided; and the money that goes with them."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop
from tests.sandbox.paying import charge_of, pay, told
from tests.sandbox.servers import Sandbox


def dispute_of(sandbox: Sandbox, intent: Any) -> Any:
    (found,) = sandbox.api.disputes.list({"payment_intent": intent.id}).data
    return found


def words(text: str, **more: Any) -> dict[str, Any]:
    return {"evidence": {"uncategorized_text": text}, **more}


@pytest.mark.parametrize(
    ("name", "reason", "code"),
    [
        ("createDispute", "fraudulent", "10.4"),
        ("createDisputeProductNotReceived", "product_not_received", "13.1"),
    ],
)
def test_a_dispute_takes_the_money(name: str, reason: str, code: str, sandbox: Sandbox) -> None:
    """Docs: /testing#disputes, /disputes/how-disputes-work"""
    intent = pay(sandbox, f"pm_card_{name}", amount=4_200)
    dispute = dispute_of(sandbox, intent)
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", reason, 4_200)
    details = dispute.payment_method_details.card
    assert (details.case_type, details.network_reason_code) == ("chargeback", code)
    (entry,) = dispute.balance_transactions
    assert (entry.amount, entry.fee, entry.net) == (-4_200, 1_500, -5_700)
    assert (entry.type, entry.reporting_category) == ("adjustment", "dispute")
    assert entry.fee_details[0].description == "Dispute fee"
    assert charge_of(sandbox, intent).disputed
    assert told(sandbox, "charge.dispute", dispute) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.api.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize(("text", "outcome"), [("winning", "won"), ("losing", "lost")])
def test_evidence_decides(text: str, outcome: str, sandbox: Sandbox) -> None:
    """Docs: /testing#evidence"""
    intent = pay(sandbox, "pm_card_createDispute")
    dispute = dispute_of(sandbox, intent)
    done = sandbox.api.disputes.update(dispute.id, words(f"{text}_evidence"))
    assert (done.status, done.evidence_details.submission_count) == (outcome, 1)
    ends = ["charge.dispute.closed"]
    if outcome == "won":
        ends.append("charge.dispute.funds_reinstated")
        assert [entry.net for entry in done.balance_transactions] == [-2_500, 1_000]
        assert done.balance_transactions[1].reporting_category == "dispute_reversal"
    assert told(sandbox, "charge.dispute", dispute)[-len(ends) :] == ends
    (row,) = sandbox.ledger(payment_intent=intent.id, kind="dispute")
    assert (row["outcome"], row["amount"]) == (outcome, 1_000)
    with pytest.raises(stripe.InvalidRequestError, match="no evidence"):
        sandbox.api.disputes.update(dispute.id, words("winning_evidence"))
    with pytest.raises(stripe.InvalidRequestError, match="closed"):
        sandbox.api.disputes.close(dispute.id)


def test_evidence_is_staged_and_submitted_once(sandbox: Sandbox) -> None:
    """Docs: /api/disputes/update"""
    api = sandbox.api.disputes
    dispute = dispute_of(sandbox, pay(sandbox, "pm_card_createDispute"))
    staged = api.update(dispute.id, words("see attachment", submit=False))
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    assert staged.evidence_details.submission_method == "not_submitted"
    marked = api.update(dispute.id, {"metadata": {"case": "7"}})
    assert (marked.status, marked.metadata["case"]) == ("needs_response", "7")
    sent = api.update(dispute.id, {"submit": True})
    assert (sent.status, sent.evidence.uncategorized_text) == ("under_review", "see attachment")
    with pytest.raises(stripe.InvalidRequestError, match="no evidence"):
        api.update(dispute.id, words("one more thing"))


def test_giving_in_loses(sandbox: Sandbox) -> None:
    """Docs: /api/disputes/close"""
    dispute = dispute_of(sandbox, pay(sandbox, "pm_card_createDispute"))
    assert sandbox.api.disputes.close(dispute.id).status == "lost"
    assert told(sandbox, "charge.dispute", dispute)[-1] == "charge.dispute.closed"


def test_an_inquiry_takes_nothing(sandbox: Sandbox) -> None:
    """Docs: /disputes/how-disputes-work#inquiries"""
    intent = pay(sandbox, "pm_card_createDisputeInquiry")
    dispute = dispute_of(sandbox, intent)
    assert (dispute.status, dispute.balance_transactions) == ("warning_needs_response", [])
    assert dispute.payment_method_details.card.case_type == "inquiry"
    assert dispute.is_charge_refundable
    assert sandbox.api.refunds.create({"payment_intent": intent.id}).status == "succeeded"
    assert sandbox.api.disputes.close(dispute.id).status == "warning_closed"
    assert sandbox.ledger(payment_intent=intent.id, kind="dispute") == []


def test_an_inquiry_escalates(sandbox: Sandbox) -> None:
    """Docs: /testing#evidence"""
    intent = pay(sandbox, "pm_card_createDisputeInquiry")
    dispute = dispute_of(sandbox, intent)
    worse = sandbox.api.disputes.update(dispute.id, words("escalate_inquiry_evidence"))
    assert (worse.status, len(worse.balance_transactions)) == ("needs_response", 1)
    assert told(sandbox, "charge.dispute", dispute)[-1] == "charge.dispute.funds_withdrawn"
    won = sandbox.api.disputes.update(dispute.id, words("winning_evidence"))
    assert won.status == "won"


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_on_demand(outcome: str, shop: Shop) -> None:
    sandbox = shop.sandbox
    shop.give_card("ok")
    started = shop.subscribe()
    (charge,) = sandbox.api.charges.list({"customer": shop.customer}).data
    opened = sandbox.control("disputes", charge=charge.id, outcome=outcome)
    assert opened["status"] == "needs_response"
    wish = {"charge": charge.id, "outcome": outcome}
    assert sandbox.http.post("/_sandbox/disputes", json=wish).status_code == 400
    sandbox.advance(days=6)
    assert sandbox.api.disputes.retrieve(opened["id"]).status == "needs_response"
    sandbox.advance(days=1)
    assert sandbox.api.disputes.retrieve(opened["id"]).status == outcome
    (row,) = sandbox.ledger(subscription=started.id, kind="dispute")
    assert (row["outcome"], row["amount"], row["charge"]) == (outcome, 2_000, charge.id)
    refunds = sandbox.api.refunds
    if outcome == "won":
        assert refunds.create({"charge": charge.id}).status == "succeeded"
        return
    with pytest.raises(stripe.InvalidRequestError) as refused:
        refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_disputed"


def test_silence_loses(sandbox: Sandbox) -> None:
    """Docs: /disputes/responding"""
    dispute = dispute_of(sandbox, pay(sandbox, "pm_card_createDispute"))
    until = dispute.evidence_details.due_by - sandbox.now()
    sandbox.advance(seconds=until - 60)
    assert sandbox.api.disputes.retrieve(dispute.id).status == "needs_response"
    sandbox.advance(seconds=61)
    assert sandbox.api.disputes.retrieve(dispute.id).status == "lost"


def test_bad_wishes(sandbox: Sandbox) -> None:
    for body, status in (
        ({"charge": "ch_no", "outcome": "won"}, 404),
        ({"charge": "ch_no", "outcome": "drawn"}, 400),
        ({"charge": "ch_no"}, 400),
    ):
        assert sandbox.http.post("/_sandbox/disputes", json=body).status_code == status
