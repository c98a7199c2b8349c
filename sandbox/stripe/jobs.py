"""What can come due, by name."""

from collections.abc import Mapping

from sandbox.stripe.clock import Job
from sandbox.stripe.objects import (
    invoices,
    subscription_billing,
    subscription_cycle,
    subscription_updates,
)

JOBS: Mapping[str, Job] = {
    "cancel": subscription_cycle.run_cancel,
    "collect_invoice": invoices.run_collect,
    "cycle": subscription_cycle.run_cycle,
    "expire_incomplete": subscription_cycle.run_expire,
    "expire_update": subscription_billing.run_expire_update,
    "finalize_invoice": invoices.run_finalize,
    "invoice_overdue": invoices.run_overdue,
    "invoice_upcoming": subscription_cycle.run_upcoming,
    "resume_collection": subscription_updates.run_resume_collection,
    "trial_will_end": subscription_cycle.run_trial_will_end,
    "void_resumption": subscription_cycle.run_void_resumption,
}
