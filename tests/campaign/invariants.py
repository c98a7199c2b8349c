"""What must be true whatever Stripe answered and whoever did what meanwhile: one function each.

Each yields what is wrong, in words. `ALWAYS` holds at every moment; `ONCE_QUIET` once the product
has had its time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from tests.campaign.calls import call_of, template_of
from tests.campaign.evidence import Evidence, Json, Word, is_ours, subscription_of

Violations = Iterator[str]
Invariant = Callable[[Evidence], Violations]
CLOSED = {"recovered", "exhausted", "canceled", "written_off"}
ENDED = {"canceled", "incomplete_expired"}
_NEVER_AGAIN = {  # Stripe's page of decline codes: another card is needed
    "do_not_try_again", "fraudulent", "lost_card", "merchant_blacklist", "pickup_card",
    "restricted_card", "revocation_of_all_authorizations", "revocation_of_authorization",
    "stolen_card", "stop_payment_order", "expired_card", "incorrect_number", "invalid_account",
}  # fmt: skip


# -- money ---------------------------------------------------------------------------------------


def one_charge_per_attempt(seen: Evidence) -> Violations:
    """A key of ours was charged once."""
    for key, count in Counter(row["idempotency_key"] for row in seen.tried()).items():
        if key is not None and count > 1:
            yield f"{count} charges under the key {key}"


def one_payment_per_invoice(seen: Evidence) -> Violations:
    """An invoice, and a payment of its own, was paid once."""
    for name in ("invoice", "payment_intent"):
        paid = Counter(row[name] for row in seen.tried(outcome="succeeded") if row[name])
        for paid_id, count in paid.items():
            if count > 1:
                yield f"{name} {paid_id} was paid {count} times"


def one_subscription_per_order(seen: Evidence) -> Violations:
    """What was ordered once is at Stripe once."""
    made = Counter(each["metadata"].get("subscription_id") for each in seen.subscriptions)
    for order, count in made.items():
        if order is not None and count > 1:
            yield f"{count} subscriptions at Stripe for {order}"
    ids = {each["customer"] for each in seen.subscriptions}
    if len(ids) > 1 and "delete customer" not in seen.told.by_hand:
        yield f"{len(ids)} customers at Stripe for one user"


def nothing_kept_after_cancel(seen: Evidence) -> Violations:
    """What was taken after an acknowledged cancel was given back."""
    for word in seen.told.words:
        if word.name != "cancel" or word.status != 200:
            continue
        views = [view for view in seen.views if view["subscription_id"] == word.target]
        stripe_ids = {view["stripe_subscription_id"] for view in views}
        first = [
            row for row in seen.tried(outcome="succeeded") if row["subscription"] in stripe_ids
        ]
        # Reason: what had never been paid for was to be stopped once the workflow knew.
        taken_at = _taken_at(seen, word)
        is_unpaid = not any(row["wall_time"] < taken_at for row in first)
        since = taken_at if is_unpaid else word.answered_at
        for row in first:
            is_hosted = row["invoice"] in seen.told.hosted
            if row["wall_time"] > since and not is_hosted:
                yield from _kept(seen, row, "after the cancel")


def _taken_at(seen: Evidence, word: Word) -> float:
    """Return when the subscription's workflow took a command."""
    times = seen.command_times.get(f"subscription-{word.target}", ())
    return min((at for at in times if at >= word.asked_at), default=word.asked_at)


def no_payment_kept_after_cancel(seen: Evidence) -> Violations:
    """A payment that was canceled took nothing, or gave it back."""
    for word in seen.told.words:
        if word.name != "cancel payment" or word.status != 200:
            continue
        for payment in seen.payments:
            if payment["payment_id"] == word.target:
                intent = payment["stripe_payment_intent_id"]
                for row in seen.tried(outcome="succeeded", payment_intent=intent):
                    yield from _kept(seen, row, "for a payment that was canceled")


def no_late_payment_kept(seen: Evidence) -> Violations:
    """What is paid on Stripe's page for a subscription that is over gives access or is refunded."""
    ended = {each["id"] for each in seen.subscriptions if each["status"] in ENDED}
    for row in seen.tried(outcome="succeeded"):
        if row["invoice"] in seen.told.hosted and row["subscription"] in ended:
            ends = [e["ended_at"] for e in seen.subscriptions if e["id"] == row["subscription"]]
            if row["sandbox_time"] > ends[0]:
                yield from _kept(seen, row, "for a subscription that was over")


def _kept(seen: Evidence, row: Json, why: str) -> Violations:
    back = seen.refunded(row["payment_intent"])
    if back < row["amount"]:
        yield f"{row['amount']} taken {why}, {back} given back ({row['payment_intent']})"


def no_dead_card_is_charged(seen: Evidence) -> Violations:
    """A card that was refused for good is not charged again by us."""
    dead: dict[str, str] = {}
    ours = {row["charge"] for row in seen.tried() if is_ours(row)}
    for charge in reversed(seen.charges):
        card = (charge.get("payment_method_details") or {}).get("card") or {}
        print_ = card.get("fingerprint") or ""
        if print_ in dead and charge["id"] in ours:
            yield f"charged again after {dead[print_]}: {charge['id']}"
        code = (charge.get("outcome") or {}).get("reason") or charge.get("failure_code")
        if charge["status"] == "failed" and code in _NEVER_AGAIN:
            dead[print_] = str(code)


def no_more_tries_than_the_policy_has(seen: Evidence) -> Violations:
    """Scheduled tries are at most as many as the policy's waits, and each one was a charge."""
    for retry in seen.retries:
        tries = [each for each in retry["attempts"] if each["trigger"] == "scheduled"]
        if len(tries) > seen.policy.waits:
            yield f"{len(tries)} scheduled tries of {retry['stripe_invoice_id']}"
        charges = [row for row in seen.tried(invoice=retry["stripe_invoice_id"]) if is_ours(row)]
        told = [each for each in retry["attempts"] if each["outcome"] in {"succeeded", "failed"}]
        if len(told) > len(charges):
            yield f"{len(told)} tries told of {retry['stripe_invoice_id']}, {len(charges)} made"


# -- what is owed --------------------------------------------------------------------------------


def every_owed_invoice_is_collected(seen: Evidence) -> Violations:
    """An invoice that is owed has a live payment retry, or was closed by policy."""
    if seen.customer is None or seen.customer.get("deleted"):
        return
    ended = {each["id"] for each in seen.subscriptions if each["status"] in ENDED}
    for invoice in seen.owed():
        retry = seen.retry_of(invoice["id"])
        if subscription_of(invoice) in ended:
            # Reason: whoever cancels in the Dashboard decides there what becomes of the invoice.
            if "cancel at Stripe" in seen.told.by_hand:
                continue
            yield f"{invoice['id']} is open though its subscription is over"
        elif retry is None:
            yield f"{invoice['id']} is owed and has no payment retry"
        elif retry["retry_status"] in CLOSED:
            yield f"{invoice['id']} is owed and its payment retry is {retry['retry_status']}"


def no_retry_without_a_debt(seen: Evidence) -> Violations:
    """A payment retry ends when its invoice is settled."""
    status = {invoice["id"]: invoice["status"] for invoice in seen.invoices}
    for retry in seen.retries:
        settled = status.get(retry["stripe_invoice_id"])
        if settled in {"paid", "void", "uncollectible"} and retry["retry_status"] not in CLOSED:
            yield f"{retry['stripe_invoice_id']} is {settled}, its retry {retry['retry_status']}"


def the_last_resort_is_carried_out(seen: Evidence) -> Violations:
    """After the last failed try, what the policy says was done."""
    for invoice in list(seen.owed())[:1]:
        rows = [row for row in seen.tried(invoice=invoice["id"]) if is_ours(row)]
        retry = seen.retry_of(invoice["id"])
        tries = [
            each
            for each in (retry["attempts"] if retry else [])
            if each["trigger"] == "scheduled" and each["outcome"] == "failed"
        ]
        is_soft = bool(rows) and rows[-1]["decline_code"] == "insufficient_funds"
        if len(tries) >= seen.policy.waits and is_soft:
            yield f"{len(tries)} tries of {invoice['id']} failed, and it is still open"


def a_new_card_is_charged(seen: Evidence) -> Violations:
    """A card that the customer gave while something was owed is charged."""
    ended = {each["id"] for each in seen.subscriptions if each["status"] in ENDED}
    for invoice in seen.owed():
        if subscription_of(invoice) in ended:
            continue
        failed = seen.tried(invoice=invoice["id"], outcome="failed")
        later = [at for at, _ in seen.told.cards if failed and at > failed[0]["wall_time"]]
        if later and not any(row["wall_time"] > later[-1] for row in failed):
            yield f"{invoice['id']} was not charged on the card that was given for it"


def a_card_tried_as_new_is_new(seen: Evidence) -> Violations:
    """A try of a new card follows a card that was given after the failure."""
    for retry in seen.retries:
        failed = seen.tried(invoice=retry["stripe_invoice_id"], outcome="failed")
        tries = [each for each in retry["attempts"] if each["trigger"] == "new_card"]
        since = failed[0]["wall_time"] if failed else 0.0
        given = [
            word
            for word in seen.told.words
            if word.name == "give card" and word.answered_at > since
        ]
        if len(tries) > len(given):
            count = f"{len(tries)} tries of new cards, {len(given)} given"
            yield f"{count} since {retry['stripe_invoice_id']} failed"


# -- changes ------------------------------------------------------------------------------------


def a_change_bills_what_was_previewed(seen: Evidence) -> Violations:
    """A change at once is billed once, as previewed; one that is not paid bills nothing."""
    for change in seen.told.changes:
        bills = [
            invoice
            for invoice in seen.invoices
            if invoice["billing_reason"] == "subscription_update"
            and _is_of(seen, invoice, change.subscription_id)
            and invoice["status"] not in {"draft", "void"}
        ]
        totals = [invoice["total"] for invoice in bills]
        if change.status == 200 and change.previewed_cents is not None:
            if totals != [change.previewed_cents]:
                yield f"a change was previewed as {change.previewed_cents} and billed as {totals}"
        elif len(bills) > 1 or (change.status == 402 and bills):
            yield f"a change that was answered {change.status} was billed as {totals}"


def the_last_change_is_in_force(seen: Evidence) -> Violations:
    """Plan and quantity are those of the last acknowledged change."""
    if {"change price", "change quantity"} & set(seen.told.by_hand):
        return
    for view in seen.views:
        if view["subscription_status"] in ENDED:
            continue
        for name, right in seen.told.terms.items():
            if view[name] != right:
                yield f"{view['subscription_id']} has {name} {view[name]}, not {right}"


def _is_of(seen: Evidence, invoice: Json, subscription_id: str) -> bool:
    """Say whether an invoice belongs to a subscription of ours."""
    views = [view for view in seen.views if view["subscription_id"] == subscription_id]
    return subscription_of(invoice) in {view["stripe_subscription_id"] for view in views}


# -- access and the view -------------------------------------------------------------------------


def access_is_what_the_objects_say(seen: Evidence) -> Violations:
    """Access follows the subscription's status, the grace, and what is owed."""
    best = "none"
    order = ("none", "grace", "full")
    for each in seen.subscriptions:
        view = seen.view_of(each["id"])
        if view is None:
            continue
        right = _access(seen, each, view)
        if view["access"] not in right:
            yield f"{each['id']} is {each['status']}: access {view['access']}, not {right}"
        best = max(best, view["access"], key=order.index)
    shown = seen.entitlements.get("access", "none")
    if shown != best and seen.views:
        yield f"entitlements say {shown}, the subscriptions {best}"


def _access(seen: Evidence, subscription: Json, view: Json) -> set[str]:
    status = subscription["status"]
    mine = [each for each in seen.invoices if subscription_of(each) == subscription["id"]]
    final = [each for each in mine if each["status"] not in {"draft", "void"}]
    is_written_off = bool(final) and final[0]["status"] == "uncollectible"
    if status in {"active", "trialing"}:
        is_by_hand = "mark uncollectible" in seen.told.by_hand
        if is_written_off:
            return {"full", "none"} if is_by_hand else {"none"}
        return {"full"}
    if status != "past_due":
        return {"none"}
    if not any(each["status"] == "open" for each in mine):
        return {"grace"}
    ends = view["grace_ends_at"]
    return {"grace", "none"} if ends is None else {"grace"} if _is_later(ends, seen) else {"none"}


def _is_later(moment: str, seen: Evidence) -> bool:
    return datetime.fromisoformat(moment).timestamp() > seen.now


def the_view_equals_stripe(seen: Evidence) -> Violations:
    """Subscriptions, invoices, payments and cards are shown as they are at Stripe."""
    for each in seen.subscriptions:
        view = seen.view_of(each["id"])
        if view is None:
            yield f"{each['id']} is at Stripe and nobody's here"
        elif view["subscription_status"] != each["status"]:
            yield f"{each['id']} is {each['status']}, shown as {view['subscription_status']}"
        elif each["status"] not in ENDED:
            yield from _terms_differ(each, view)
    known = {each["id"] for each in seen.subscriptions}
    for view in seen.views:
        if view["stripe_subscription_id"] and view["stripe_subscription_id"] not in known:
            yield f"{view['stripe_subscription_id']} is shown and not at Stripe"
    yield from _invoices_differ(seen)
    yield from _payments_differ(seen)
    yield from _cards_differ(seen)


def _terms_differ(subscription: Json, view: Json) -> Violations:
    (item,) = subscription["items"]["data"]
    for name, right in (
        ("quantity", item["quantity"]),
        ("stripe_price_id", item["price"]["id"]),
        ("cancel_at", subscription["cancel_at"]),
        ("trial_end", subscription["trial_end"]),
        ("current_period_end", item["current_period_end"]),
    ):
        shown = view[name]
        if name in {"cancel_at", "trial_end", "current_period_end"} and shown is not None:
            shown = int(datetime.fromisoformat(shown).timestamp())
        if shown != right:
            yield f"{subscription['id']} has {name} {right}, shown as {shown}"


def _invoices_differ(seen: Evidence) -> Violations:
    shown = {row["stripe_invoice_id"]: row for row in seen.view_invoices}
    for invoice in seen.invoices:
        row = shown.get(invoice["id"])
        if invoice["status"] == "draft" or subscription_of(invoice) is None:
            continue
        if row is None:
            yield f"{invoice['id']} is not shown"
        elif (row["invoice_status"], row["amount_paid_cents"]) != (
            invoice["status"],
            invoice["amount_paid"],
        ):
            yield (
                f"{invoice['id']} is {invoice['status']}, {invoice['amount_paid']} paid; shown as"
                f" {row['invoice_status']}, {row['amount_paid_cents']}"
            )


def _payments_differ(seen: Evidence) -> Violations:
    shown = {row["stripe_payment_intent_id"]: row for row in seen.payments}
    for row in seen.tried(outcome="succeeded"):
        intent = row["payment_intent"]
        payment = shown.get(intent)
        if payment is None:
            yield f"{intent} took {row['amount']} and is no payment here"
        elif payment["refunded_cents"] != seen.refunded(intent):
            yield f"{intent}: {seen.refunded(intent)} refunded, shown {payment['refunded_cents']}"
        elif payment["payment_status"] not in {
            "succeeded", "refunded", "partially_refunded", "disputed",
        }:  # fmt: skip
            yield f"{intent} took {row['amount']}, shown as {payment['payment_status']}"
    succeeded = {row["payment_intent"] for row in seen.tried(outcome="succeeded")}
    for payment in seen.payments:
        intent = payment["stripe_payment_intent_id"]
        if payment["payment_status"] == "succeeded" and intent not in succeeded:
            yield f"{intent} is shown as succeeded and took nothing"


def _cards_differ(seen: Evidence) -> Violations:
    at_stripe = {card["id"] for card in seen.cards}
    shown = {card["stripe_payment_method_id"]: card for card in seen.view_cards}
    given = {card for _, card in seen.told.cards}
    for card in shown.keys() - at_stripe:
        yield f"{card} is shown and not attached at Stripe"
    for card in (at_stripe & given) - shown.keys():
        yield f"{card} is attached at Stripe and not shown"
    if seen.customer and not seen.customer.get("deleted"):
        right = seen.customer["invoice_settings"]["default_payment_method"]
        default = {card for card, row in shown.items() if row["is_default"]}
        if default and default != {right}:
            yield f"{default} is shown as the default card, at Stripe it is {right}"


# -- what customers meet -------------------------------------------------------------------------

_MAILS: tuple[tuple[str, str], ...] = (
    ("gave_up", r"could not collect|all our attempts"),
    ("trial", r"trial"),
    ("renewed", r"receipt"),
    ("expiring", r"expires soon"),
    ("card", r"another card|new card|add a card"),
    ("confirm", r"confirm"),
    ("paid", r"thank you|arrived|received"),
    ("failed", r"payment failed|failed"),
    ("ended", r"cancel|ended|paused"),
    ("refund", r"refund"),
)


def kind_of_mail(mail: Json) -> str:
    """Return what a mail's subject says, "" if that is nothing we know."""
    for kind, pattern in _MAILS:
        if re.search(pattern, mail["subject"], re.IGNORECASE):
            return kind
    return ""


def every_mail_has_its_fact(seen: Evidence) -> Violations:
    """A mail says only what the ledger shows, and says it once."""
    for mail in seen.mails:
        yield from _says_too_much(seen, mail)
    # Reason: a mail that is repeated after a kill has the same message id, and is seen once.
    receipts = {
        mail["message_id"] for mail in seen.mails if kind_of_mail(mail) in {"renewed", "paid"}
    }
    if len(receipts) > len(seen.invoices):
        yield f"{len(receipts)} mails of payments for {len(seen.invoices)} invoices"
    gave_up = [mail for mail in seen.mails if kind_of_mail(mail) == "gave_up"]
    if len(gave_up) > len(seen.invoices):
        yield f"{len(gave_up)} mails of the end for {len(seen.invoices)} invoices"


def _says_too_much(seen: Evidence, mail: Json) -> Violations:
    before = [row for row in seen.tried() if row["wall_time"] <= mail["received_at"] + 1]
    failed = [row for row in before if row["outcome"] == "failed"]
    kind, subject = kind_of_mail(mail), mail["subject"]
    if kind == "":
        yield f"a mail that nobody knows: {subject!r}"
    elif kind in {"paid", "renewed"} and not _is_paid(seen, before):
        yield f"{subject!r}, and nothing was paid"
    elif kind == "ended" and not _is_ended(seen, mail["received_at"]):
        yield f"{subject!r}, and no subscription ends"
    elif kind == "card" and "no card" in mail["text"]:
        if not {"detach card", "delete customer"} & set(seen.told.by_hand):
            yield f"{subject!r}, as if there were none"
    elif kind in {"failed", "card", "confirm"} and not failed and not _is_asked(seen):
        yield f"{subject!r}, and no charge had failed"
    elif kind == "gave_up" and not any(is_ours(row) for row in failed):
        yield f"{subject!r}, and we had tried nothing"
    if kind == "gave_up" and re.search(r"https?://", mail["text"]):
        yield f"{subject!r} asks to pay what is given up"


def _is_ended(seen: Evidence, at: float) -> bool:
    """Say whether a subscription ends, or was to end until somebody took that back."""
    is_planned = any(
        word.name == "end later" and word.status == 200 and word.asked_at <= at
        for word in seen.told.words
    )
    return is_planned or any(map(_is_ending, seen.subscriptions))


def _is_ending(subscription: Json) -> bool:
    return subscription["status"] == "canceled" or subscription.get("cancel_at") is not None


def _is_paid(seen: Evidence, rows: list[Json]) -> bool:
    is_charged = any(row["outcome"] == "succeeded" for row in _renewals(seen, rows))
    return is_charged or "pay out of band" in seen.told.by_hand


def _renewals(seen: Evidence, rows: list[Json]) -> list[Json]:
    first = {e["id"] for e in seen.invoices if e["billing_reason"] == "subscription_create"}
    return [row for row in rows if row["invoice"] and row["invoice"] not in first]


def _is_asked(seen: Evidence) -> bool:
    """Say whether a bank asks for the customer: a challenge is no failed charge."""
    return any(intent["status"] == "requires_action" for intent in seen.intents) or any(
        row["decline_code"] == "authentication_required" for row in seen.tried()
    )


def every_command_is_answered(seen: Evidence) -> Violations:
    """A cancel, and any other word, has its answer once Stripe's faults are cleared."""
    for word in seen.told.words:
        if word.status is None:
            seconds = word.answered_at - word.asked_at
            yield f"{word.name} of {word.target} has no answer after {seconds:.0f} s"
        elif word.status >= 500 and not _was_refused(seen, word):
            yield f"{word.name} of {word.target} was answered {word.status}"


def _was_refused(seen: Evidence, word: Word) -> bool:
    """Say whether Stripe refused something meanwhile, or answered what nobody can read."""
    return word.status == 502 and any(
        row["status"] in {400, 404} or (row["fault"] or "").startswith(("HTML", "garbled"))
        for row in seen.log
        if word.asked_at <= row["wall_time"] <= word.answered_at
    )


def a_cancel_ends_it(seen: Evidence) -> Violations:
    """What was canceled is over at Stripe, with nothing left to pay."""
    for word in seen.told.words:
        if word.name != "cancel" or word.status != 200:
            continue
        for each in seen.subscriptions:
            if each["metadata"].get("subscription_id") != word.target:
                continue
            if each["status"] not in ENDED:
                yield f"{each['id']} was canceled and is {each['status']}"
            for invoice in seen.invoices:
                if subscription_of(invoice) == each["id"] and invoice["status"] in {
                    "open",
                    "draft",
                }:
                    yield f"{invoice['id']} is {invoice['status']} after the cancel"


def nothing_is_stuck(seen: Evidence) -> Violations:
    """Nothing is parked, under way for ever, or ended by an error."""
    for row in (*seen.views, *seen.payments, *seen.retries):
        name = row.get("payment_id") or row.get("payment_retry_id") or row["subscription_id"]
        if row.get("is_parked") or row.get("parked_reason"):
            yield f"{name} is parked: {row.get('parked') or row.get('parked_reason')}"
        if row.get("payment_status") == "pending" or row.get("retry_status") == "charging":
            yield f"{name} is {row.get('payment_status') or row.get('retry_status')} for ever"
    for workflow, status in seen.workflows.items():
        if status.lower() not in {"running", "completed", "continued_as_new", "continuedasnew"}:
            yield f"workflow {workflow} is {status}"
    if seen.pending_webhooks:
        yield f"{seen.pending_webhooks} events were not taken"
    yield from seen.problems


def every_call_is_in_the_catalogue(seen: Evidence) -> Violations:
    """The product calls what the campaign knows of."""
    for row in seen.log:
        if "Stripe/" in (row.get("user_agent") or "") and not call_of(row["method"], row["path"]):
            yield f"the catalogue lacks {template_of(row['method'], row['path'])}"


def every_post_is_numbered(seen: Evidence) -> Violations:
    """Each POST carries a key of ours, with its number."""
    for row in seen.log:
        key = row.get("idempotency_key") or ""
        is_posted = "Stripe/" in (row.get("user_agent") or "") and row["method"] == "POST"
        if is_posted and not re.search(r":[1-9]$", key):
            yield f"POST {row['path']} has the key {key or 'of nobody'}"


ALWAYS: tuple[Invariant, ...] = (
    one_charge_per_attempt,
    one_payment_per_invoice,
    one_subscription_per_order,
    no_dead_card_is_charged,
    a_card_tried_as_new_is_new,
    every_post_is_numbered,
    every_command_is_answered,
    every_mail_has_its_fact,
    every_call_is_in_the_catalogue,
)
ONCE_QUIET: tuple[Invariant, ...] = (
    nothing_kept_after_cancel,
    no_payment_kept_after_cancel,
    no_late_payment_kept,
    no_more_tries_than_the_policy_has,
    every_owed_invoice_is_collected,
    no_retry_without_a_debt,
    the_last_resort_is_carried_out,
    a_new_card_is_charged,
    a_change_bills_what_was_previewed,
    the_last_change_is_in_force,
    access_is_what_the_objects_say,
    the_view_equals_stripe,
    a_cancel_ends_it,
    nothing_is_stuck,
)


def broken(seen: Evidence, rules: tuple[Invariant, ...]) -> list[str]:
    """Return what is wrong, each with the name of its invariant."""
    return [f"{rule.__name__}: {found}" for rule in rules for found in rule(seen)]
