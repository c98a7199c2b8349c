"""What can come due, by name."""

from collections.abc import Mapping

from sandbox.stripe.clock import Job
from sandbox.stripe.objects import (
    balance,
    captures,
    charges,
    disputes,
    invoices,
    refunds,
    subscription_cycle,
)

JOBS: Mapping[str, Job] = {
    "book_charge": charges.run_book,
    "cancel": subscription_cycle.run_cancel,
    "collect_invoice": invoices.run_collect,
    "cycle": subscription_cycle.run_cycle,
    "decide_dispute": disputes.run_decide,
    "expire_authorization": captures.run_expire,
    "expire_incomplete": subscription_cycle.run_expire,
    "finalize_invoice": invoices.run_finalize,
    "release_funds": balance.run_release,
    "settle_refund": refunds.run_settle,
    "trial_will_end": subscription_cycle.run_trial_will_end,
    "void_resumption": subscription_cycle.run_void_resumption,
}
