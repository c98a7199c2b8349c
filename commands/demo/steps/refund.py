"""Steps in which the agent requests a refund, which an administrator has to approve."""

from commands.demo.api_client import Document
from commands.demo.checks import expect
from commands.demo.context import DemoContext
from commands.demo.customers import approve

TOOL = "refund_payment"


def refund(context: DemoContext) -> None:
    """Ask for a refund, which is made only after an administrator's approval of its arguments."""
    context.step("The agent requests a refund, and an administrator decides")
    payment = next(each for each in context.customer.payments() if _is_refundable(each))
    run = _ask(context, f"Please refund payment {payment['payment_id']}, I was away that month.")
    call = run["pending_approvals"][0]
    expect(call["tool"] == TOOL, "the agent requests a refund", call)
    expect(not _refunds(context, payment), "nothing is refunded yet", _refunds(context, payment))
    context.say(f"the run waits for the approval of {TOOL}; arguments' digest {_digest(run)}")
    context.link("the waiting run", run["workflow_id"])
    _expect_refusals(context, run)
    done = _approve(context, run)
    _expect_one_refund(context, payment)
    refunded = context.customer.payment(payment["payment_id"])
    outcome = (refunded["payment_status"], refunded["refunded_cents"])
    expect(outcome == ("refunded", refunded["amount_cents"]), "the payment is refunded", refunded)
    context.say(f"Stripe's ledger has [bold]one[/] refund, of {_money(refunded)}")
    context.link("the payment", refunded["workflow_id"])
    context.results.workflow_ids += [done["workflow_id"], refunded["workflow_id"]]
    context.results.payment = refunded


def refund_again(context: DemoContext) -> None:
    """Ask for the same refund again, which needs another approval, and is not made again."""
    context.step("The customer asks for the same refund again, in the same conversation")
    payment, first = context.results.payment, context.results.runs[-1]
    text = f"Please refund payment {payment['payment_id']}, to be on the safe side."
    run = _ask(context, text, first["conversation_id"])
    context.say("every refund call needs an approval: this run waits, too")
    done = _approve(context, run)
    calls = context.assistant.tool_calls(run["agent_run_id"])
    statuses = [call["tool_call_status"] for call in calls]
    expect(statuses == ["already_done"], "the tool call ends as already done", calls)
    _expect_one_refund(context, payment)
    context.say("already done: Stripe's ledger still has [bold]one[/] refund")
    context.results.workflow_ids.append(done["workflow_id"])


def _is_refundable(payment: Document) -> bool:
    return payment["payment_status"] == "succeeded" and payment["invoice_id"] is not None


def _ask(context: DemoContext, text: str, conversation_id: str | None = None) -> Document:
    context.quote("customer", text)
    run = context.assistant.ask(text, conversation_id)
    return context.wait_run(run, "waiting_approval")


def _expect_refusals(context: DemoContext, run: Document) -> None:
    by_customer = approve(context.customer.api, run)
    refusal = (by_customer.status_code, by_customer.json()["code"])
    expect(refusal == (403, "approver_required"), "customers cannot approve", by_customer.text)
    context.say("the customer tries to approve: 403 approver_required")
    other_digest = approve(context.product.api, run, args_sha256="0" * 64)
    refusal = (other_digest.status_code, other_digest.json()["code"])
    expected = (409, "args_digest_mismatch")
    expect(refusal == expected, "other arguments are refused", other_digest.text)
    context.say("the administrator approves other arguments: 409 args_digest_mismatch")


def _approve(context: DemoContext, run: Document) -> Document:
    reply = approve(context.product.api, run)
    expect(reply.status_code == 200, "an administrator can approve", reply.text)
    context.say(f"the administrator approves {_digest(run)}: 200")
    done = context.wait_run(run, "completed")
    context.quote("agent", done["output"])
    context.results.runs.append(done)
    return done


def _expect_one_refund(context: DemoContext, payment: Document) -> None:
    refunds = _refunds(context, payment)
    expect(len(refunds) == 1, "Stripe's ledger has one refund", refunds)
    amount = payment["amount_cents"]
    expect(refunds[0]["amount"] == amount, "the whole payment is refunded", refunds)


def _refunds(context: DemoContext, payment: Document) -> list[Document]:
    return context.sandboxes.refunds(payment["stripe_payment_intent_id"])


def _digest(run: Document) -> str:
    return f"{run['pending_approvals'][0]['args_sha256'][:12]}…"


def _money(payment: Document) -> str:
    return f"{payment['refunded_cents'] / 100:.2f} {payment['currency_code'].upper()}"
