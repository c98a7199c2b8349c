"""What can come due, by name."""

from collections.abc import Mapping

from sandbox.stripe.clock import ARRIVE, Job
from sandbox.stripe.objects.catalog import coupons, promotion_codes
from sandbox.stripe.objects.hosted import checkout_sessions
from sandbox.stripe.objects.invoices import invoices, retries, upcoming
from sandbox.stripe.objects.payments import balance, captures, charges, disputes, refunds
from sandbox.stripe.objects.schedules import schedule_progress
from sandbox.stripe.objects.subscriptions import (
    subscription_billing,
    subscription_cycle,
    subscription_updates,
)
from sandbox.stripe.objects.system import test_clocks

JOBS: Mapping[str, Job] = {
    ARRIVE: test_clocks.run_arrive,
    "book_charge": charges.run_book,
    "cancel": subscription_cycle.run_cancel,
    "collect_invoice": retries.run_collect,
    "cycle": subscription_cycle.run_cycle,
    "decide_dispute": disputes.run_decide,
    "delete_test_clock": test_clocks.run_delete,
    "enter_phase": schedule_progress.run_enter_phase,
    "expire_authorization": captures.run_expire,
    "expire_checkout": checkout_sessions.run_expire,
    "expire_coupon": coupons.run_expire,
    "expire_incomplete": subscription_cycle.run_expire,
    "expire_promotion_code": promotion_codes.run_expire,
    "expire_update": subscription_billing.run_expire_update,
    "finalize_invoice": retries.run_finalize,
    "invoice_overdue": invoices.run_overdue,
    "invoice_upcoming": upcoming.run_upcoming,
    "release_funds": balance.run_release,
    "retry_invoice": retries.run_retry,
    "resume_collection": subscription_updates.run_resume_collection,
    "schedule_expiring": schedule_progress.run_expiring,
    "settle_refund": refunds.run_settle,
    "trial_will_end": subscription_cycle.run_trial_will_end,
    "void_resumption": subscription_cycle.run_void_resumption,
}
