"""What can come due, by name."""

from collections.abc import Mapping

from sandbox.stripe.clock import ARRIVE, Job
from sandbox.stripe.objects import (
    balance,
    captures,
    charges,
    coupons,
    disputes,
    invoices,
    promotion_codes,
    refunds,
    subscription_cycle,
    test_clocks,
)

JOBS: Mapping[str, Job] = {
    ARRIVE: test_clocks.run_arrive,
    "book_charge": charges.run_book,
    "cancel": subscription_cycle.run_cancel,
    "collect_invoice": invoices.run_collect,
    "cycle": subscription_cycle.run_cycle,
    "decide_dispute": disputes.run_decide,
    "delete_test_clock": test_clocks.run_delete,
    "expire_authorization": captures.run_expire,
    "expire_coupon": coupons.run_expire,
    "expire_incomplete": subscription_cycle.run_expire,
    "expire_promotion_code": promotion_codes.run_expire,
    "finalize_invoice": invoices.run_finalize,
    "release_funds": balance.run_release,
    "settle_refund": refunds.run_settle,
    "trial_will_end": subscription_cycle.run_trial_will_end,
    "void_resumption": subscription_cycle.run_void_resumption,
}
