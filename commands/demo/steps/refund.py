"""The agent wants to give money back; a person has to say yes; it is given back once."""

from commands.demo.api_client import Document
from commands.demo.checks import expect
from commands.demo.context import DemoContext
from commands.demo.customers import approve

TOOL = "refund_payment"


def refund(context: DemoContext) -> None:
    """Ask for a refund; only an administrator's yes to exactly these arguments makes it."""
    context.chapter("The agent asks to refund, and an administrator decides")
    payment = next(each for each in context.customer.payments() if _is_refundable(each))
    run = _wish(context, f"Please refund payment {payment['payment_id']}, I was away that month.")
    call = run["pending_approvals"][0]
    expect(call["tool"] == TOOL, "the agent asks to refund", call)
    expect(not _refunds(context, payment), "nothing is refunded yet", _refunds(context, payment))
    context.say(f"it waits for a yes to {TOOL}; digest of the arguments {_digest(run)}")
    context.link("the waiting run", run["workflow_id"])
    _expect_refusals(context, run)
    done = _say_yes(context, run)
    _expect_one_refund(context, payment)
    seen = context.customer.payment(payment["payment_id"])
    amounts = (seen["payment_status"], seen["refunded_cents"])
    expect(amounts == ("refunded", seen["amount_cents"]), "the payment is refunded", seen)
    context.say(f"Stripe's own ledger has [bold]one[/] refund, of {_money(seen)}")
    context.link("the payment", seen["workflow_id"])
    context.results.workflow_ids += [done["workflow_id"], seen["workflow_id"]]
    context.results.payment = seen


def refund_again(context: DemoContext) -> None:
    """Ask for the same again; it needs a yes again, and is not made again."""
    context.chapter("The same wish again, in the same conversation")
    payment, first = context.results.payment, context.results.runs[-1]
    words = f"Please refund payment {payment['payment_id']}, to be on the safe side."
    run = _wish(context, words, first["conversation_id"])
    context.say("every call asks: this one waits for a yes of its own")
    done = _say_yes(context, run)
    calls = context.assistant.tool_calls(run["agent_run_id"])
    statuses = [call["tool_call_status"] for call in calls]
    expect(statuses == ["already_done"], "the tool says that it is done already", calls)
    _expect_one_refund(context, payment)
    context.say("already done: Stripe's ledger still has [bold]one[/] refund")
    context.results.workflow_ids.append(done["workflow_id"])


def _is_refundable(payment: Document) -> bool:
    return payment["payment_status"] == "succeeded" and payment["invoice_id"] is not None


def _wish(context: DemoContext, words: str, conversation_id: str | None = None) -> Document:
    context.quote("customer", words)
    run = context.assistant.ask(words, conversation_id)
    return context.wait_run(run, "waiting_approval")


def _expect_refusals(context: DemoContext, run: Document) -> None:
    own = approve(context.customer.line, run)
    refusal = (own.status_code, own.json()["code"])
    expect(refusal == (403, "approver_required"), "customers cannot approve", own.text)
    context.say("the customer's own yes: 403 approver_required")
    other = approve(context.product.line, run, args_sha256="0" * 64)
    refusal = (other.status_code, other.json()["code"])
    expect(refusal == (409, "args_digest_mismatch"), "other arguments are refused", other.text)
    context.say("an administrator's yes to other arguments: 409 args_digest_mismatch")


def _say_yes(context: DemoContext, run: Document) -> Document:
    said = approve(context.product.line, run)
    expect(said.status_code == 200, "an administrator can approve", said.text)
    context.say(f"the administrator's yes to {_digest(run)}: 200")
    done = context.wait_run(run, "completed")
    context.quote("agent", done["output"])
    context.results.runs.append(done)
    return done


def _expect_one_refund(context: DemoContext, payment: Document) -> None:
    refunds = _refunds(context, payment)
    expect(len(refunds) == 1, "Stripe's ledger has one refund", refunds)
    expect(refunds[0]["amount"] == payment["amount_cents"], "it is of the whole", refunds)


def _refunds(context: DemoContext, payment: Document) -> list[Document]:
    return context.sandboxes.refunds(payment["stripe_payment_intent_id"])


def _digest(run: Document) -> str:
    return f"{run['pending_approvals'][0]['args_sha256'][:12]}…"


def _money(payment: Document) -> str:
    return f"{payment['refunded_cents'] / 100:.2f} {payment['currency_code'].upper()}"
