"""Stripe's own retries of unpaid invoices, and what follows the last: a setting of the account.

They are off unless a control switches them on. At Stripe the Dashboard holds this setting.
"""

from sandbox.stripe.objects.invoices import invoices
from sandbox.stripe.objects.payments import intents
from sandbox.stripe.objects.subscriptions import subscription_cycle
from sandbox.stripe.objects.subscriptions.subscription_status import ENDED
from sandbox.stripe.session import Object, Session
from sandbox.stripe.store import Store

_DAY = 86_400
_WAIT = "retry_after_days_"
_THEN = "retries_then"
OUTCOMES = ("leave", "cancel", "unpaid")
"""What can follow the last retry: past due for good, the subscription's end, or `unpaid`."""


def set_up(store: Store, days: list[float], *, then: str) -> None:
    """Have unpaid invoices tried again.

    Args:
        store: Where the setting is kept.
        days: How long each retry waits for; none switches retries off.
        then: What becomes of the subscription after the last one: one of `OUTCOMES`.
    """
    named = {f"{_WAIT}{number:02}": wait for number, wait in enumerate(days)}
    with store.db.transaction():
        store.db.run("DELETE FROM settings WHERE name LIKE 'retr%'")
        for name, value in {**named, _THEN: float(OUTCOMES.index(then))}.items():
            store.db.insert("settings", {"name": name, "value": value})


def run_finalize(session: Session, invoice_id: str) -> None:
    """Job: a draft's hour is over; what is not paid then waits for its first retry."""
    invoices.run_finalize(session, invoice_id)
    _go_on(session, invoice_id)


def run_collect(session: Session, invoice_id: str) -> None:
    """Job: the first charge of an invoice finalized by hand; unpaid, it waits for its retry."""
    invoices.run_collect(session, invoice_id)
    _go_on(session, invoice_id)


def run_retry(session: Session, invoice_id: str) -> None:
    """Job: an unpaid invoice is tried again."""
    invoice = session.store.get(invoice_id)
    if invoice is None or not _is_unpaid(invoice) or invoice["next_payment_attempt"] is None:
        return
    changes = {"attempt_count": invoice["attempt_count"] + 1, "next_payment_attempt": None}
    session.change(invoice, changes, is_announced=False)
    invoices.advance(session, invoice)
    _go_on(session, invoice_id)


def _go_on(session: Session, invoice_id: str) -> None:
    """Plan the next retry of an unpaid invoice, or do what is to follow the last."""
    invoice = session.store.get(invoice_id)
    rows = session.store.db.rows("SELECT * FROM settings WHERE name LIKE 'retr%' ORDER BY name")
    setting = {row["name"]: row["value"] for row in rows}
    waits = [value for name, value in setting.items() if name.startswith(_WAIT)]
    if invoice is None or not waits or not _is_unpaid(invoice):
        return
    if invoice["attempt_count"] <= len(waits):
        due_at = session.now + int(waits[invoice["attempt_count"] - 1] * _DAY)
        session.change(invoice, {"next_payment_attempt": due_at})
        session.schedule("retry_invoice", invoice_id, due_at)
    else:
        _give_up(session, invoice, OUTCOMES[int(setting[_THEN])])


def _is_unpaid(invoice: Object) -> bool:
    return bool(invoice["status"] == "open" and invoice["attempted"] and invoice["auto_advance"])


def _give_up(session: Session, invoice: Object, then: str) -> None:
    """Do with the subscription of an unpaid invoice what the setting says."""
    subscription_id = intents.subscription_of(invoice)
    subscription = session.store.get(subscription_id) if subscription_id else None
    if subscription is None or subscription["status"] in ENDED:
        return
    if then == "cancel":
        details = subscription["cancellation_details"] | {"reason": "payment_failed"}
        subscription_cycle.end(session, subscription, cancellation_details=details)
    if then == "unpaid" and subscription["status"] == "past_due":
        session.change(subscription, {"status": "unpaid"})
        _stop(session, subscription["id"])


def _stop(session: Session, subscription_id: str) -> None:
    """Try no invoice of an unpaid subscription again."""
    path = "parent__subscription_details__subscription"
    for invoice in session.find("invoice", **{path: subscription_id}, status="open"):
        session.change(invoice, {"next_payment_attempt": None})
    for invoice in session.find("invoice", **{path: subscription_id}, status="draft"):
        held = {"auto_advance": False, "automatically_finalizes_at": None}
        session.change(invoice, held)
