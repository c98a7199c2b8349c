"""Steps in which a subscription is upgraded, paused, resumed, canceled and kept."""

from uuid import uuid4

from commands.demo.api_client import Document
from commands.demo.checks import expect, short, wait_until
from commands.demo.context import DemoContext

HALF_A_MONTH_DAYS = 15


def upgrade(context: DemoContext) -> None:
    """Preview a larger plan, change to it, and compare the invoice with the preview."""
    context.step("The customer sees what an upgrade costs now, and upgrades")
    context.sandboxes.advance(HALF_A_MONTH_DAYS)
    plan = context.product.create_plan(f"team-{uuid4().hex[:6]}", "Team", 9_900)
    change = {"plan_id": plan["plan_id"], "when": "now"}
    preview = context.customer.command("preview-change", **change)
    due_cents = preview["amount_due_now_cents"]
    context.say(
        f"preview: {_dollars(due_cents)} now for the rest of the month, then "
        f"{_dollars(preview['next_amount_cents'])} on {short(preview['next_invoice_at'])}"
    )
    changed = context.customer.command(
        "change-plan", **change, proration_date=preview["proration_date"]
    )
    expect(changed["plan_id"] == plan["plan_id"], "the plan has changed", changed)
    invoice: Document = wait_until(
        context.console,
        "waiting for the invoice",
        context.customer.newest_invoice,
        lambda invoice: (
            invoice["billing_reason"] == "subscription_update"
            and invoice["invoice_status"] == "paid"
        ),
    )
    paid_cents = invoice["amount_paid_cents"]
    expect(paid_cents == due_cents, f"the invoice is over {due_cents}", invoice)
    context.say(f"changed: the paid invoice is over {_dollars(paid_cents)}, as the preview said")


def pause_and_resume(context: DemoContext) -> None:
    """Pause the subscription, which ends access, and resume it."""
    context.step("The customer pauses the subscription, and resumes it")
    paused = context.customer.command("pause")
    outcome = (paused["subscription_status"], paused["access"])
    expect(outcome == ("paused", "none"), "a paused subscription gives no access", paused)
    context.say("paused: no access, and the unused time is credited")
    for sentence in context.customer.explain()["because"]:
        context.say(f"explained: {sentence}")
    context.customer.command("resume")
    resumed = context.wait_status("active")
    expect(resumed["access"] == "full", "access is back", resumed)
    context.say(f"active again, until {short(resumed['current_period_end'])}")


def cancel_and_return(context: DemoContext) -> None:
    """Cancel at the end of the period, and take the cancellation back."""
    context.step("The customer cancels at the end of the period, and stays after all")
    canceled = context.customer.command("cancel", mode="at_period_end")
    expect(canceled["cancel_at"] is not None, "the subscription will end", canceled)
    status = (canceled["subscription_status"], canceled["access"])
    expect(status == ("active", "full"), "the paid time remains", canceled)
    context.say(f"still active: it ends at {short(canceled['cancel_at'])}")
    kept = context.customer.command("uncancel")
    expect(kept["cancel_at"] is None, "the subscription goes on", kept)
    context.say("uncanceled: it goes on")


def _dollars(cents: int) -> str:
    return f"{cents / 100:.2f} USD"
