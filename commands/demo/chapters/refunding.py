"""The agent wants to give money back; a person has to say yes; it is given back once."""

from commands.demo.assistant import approve
from commands.demo.checks import expect
from commands.demo.line import Document
from commands.demo.stage import Stage

TOOL = "refund_payment"


def refund(stage: Stage) -> None:
    """Ask for a refund; only an administrator's yes to exactly these arguments makes it."""
    stage.chapter("The agent asks to refund, and an administrator decides")
    payment = next(each for each in stage.customer.payments() if _is_refundable(each))
    run = _wish(stage, f"Please refund payment {payment['payment_id']}, I was away that month.")
    call = run["pending_approvals"][0]
    expect(call["tool"] == TOOL, "the agent asks to refund", call)
    expect(not _refunds(stage, payment), "nothing is refunded yet", _refunds(stage, payment))
    stage.say(f"it waits for a yes to {TOOL}; digest of the arguments {_digest(run)}")
    stage.link("the waiting run", run["workflow_id"])
    _expect_refusals(stage, run)
    done = _say_yes(stage, run)
    _expect_one_refund(stage, payment)
    seen = stage.customer.payment(payment["payment_id"])
    amounts = (seen["payment_status"], seen["refunded_cents"])
    expect(amounts == ("refunded", seen["amount_cents"]), "the payment is refunded", seen)
    stage.say(f"Stripe's own ledger has [bold]one[/] refund, of {_money(seen)}")
    stage.link("the payment", seen["workflow_id"])
    stage.told.workflow_ids += [done["workflow_id"], seen["workflow_id"]]
    stage.told.payment = seen


def refund_again(stage: Stage) -> None:
    """Ask for the same again; it needs a yes again, and is not made again."""
    stage.chapter("The same wish again, in the same conversation")
    payment, first = stage.told.payment, stage.told.runs[-1]
    words = f"Please refund payment {payment['payment_id']}, to be on the safe side."
    run = _wish(stage, words, first["conversation_id"])
    stage.say("every call asks: this one waits for a yes of its own")
    done = _say_yes(stage, run)
    calls = stage.assistant.tool_calls(run["agent_run_id"])
    statuses = [call["tool_call_status"] for call in calls]
    expect(statuses == ["already_done"], "the tool says that it is done already", calls)
    _expect_one_refund(stage, payment)
    stage.say("already done: Stripe's ledger still has [bold]one[/] refund")
    stage.told.workflow_ids.append(done["workflow_id"])


def _is_refundable(payment: Document) -> bool:
    return payment["payment_status"] == "succeeded" and payment["invoice_id"] is not None


def _wish(stage: Stage, words: str, conversation_id: str | None = None) -> Document:
    stage.quote("customer", words)
    run = stage.assistant.ask(words, conversation_id)
    return stage.wait_run(run, "waiting_approval")


def _expect_refusals(stage: Stage, run: Document) -> None:
    own = approve(stage.customer.line, run)
    refusal = (own.status_code, own.json()["code"])
    expect(refusal == (403, "approver_required"), "customers cannot approve", own.text)
    stage.say("the customer's own yes: 403 approver_required")
    other = approve(stage.product.line, run, args_sha256="0" * 64)
    refusal = (other.status_code, other.json()["code"])
    expect(refusal == (409, "args_digest_mismatch"), "other arguments are refused", other.text)
    stage.say("an administrator's yes to other arguments: 409 args_digest_mismatch")


def _say_yes(stage: Stage, run: Document) -> Document:
    said = approve(stage.product.line, run)
    expect(said.status_code == 200, "an administrator can approve", said.text)
    stage.say(f"the administrator's yes to {_digest(run)}: 200")
    done = stage.wait_run(run, "completed")
    stage.quote("agent", done["output"])
    stage.told.runs.append(done)
    return done


def _expect_one_refund(stage: Stage, payment: Document) -> None:
    refunds = _refunds(stage, payment)
    expect(len(refunds) == 1, "Stripe's ledger has one refund", refunds)
    expect(refunds[0]["amount"] == payment["amount_cents"], "it is of the whole", refunds)


def _refunds(stage: Stage, payment: Document) -> list[Document]:
    return stage.provider.refunds(payment["stripe_payment_intent_id"])


def _digest(run: Document) -> str:
    return f"{run['pending_approvals'][0]['args_sha256'][:12]}…"


def _money(payment: Document) -> str:
    return f"{payment['refunded_cents'] / 100:.2f} {payment['currency_code'].upper()}"
