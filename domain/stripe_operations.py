"""What crosses the border of `StripeErrandWorkflow` and its activities."""

from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.plans import PlanRequest


class StripeOperationKind(StrEnum):
    """Stripe's small jobs."""

    ATTACH_PAYMENT_METHOD = "attach_payment_method"
    SET_DEFAULT_PAYMENT_METHOD = "set_default_payment_method"
    DETACH_PAYMENT_METHOD = "detach_payment_method"
    CREATE_SETUP_INTENT = "create_setup_intent"
    CREATE_PLAN = "create_plan"
    CHANGE_PLAN = "change_plan"
    SYNC_CUSTOMER = "sync_customer"


class StripeOperation(Frozen):
    """Argument of `StripeErrandWorkflow.run`.

    Args:
        errand_id: Makes the workflow id and Stripe's idempotency keys.
        kind: Which job.
        user_id: For whom, unless it is about a plan.
        resource_id: Id of the row that the job makes or changes.
        stripe_customer_id: Which customer, for the job that follows it.
        stripe_event_ids: What Stripe told of that customer.
        stripe_payment_method_id: Which card, for the jobs about cards.
        is_default: Whether an attached card becomes the default.
        plan: What the plan is to be, for the jobs about plans.
    """

    errand_id: UUID
    kind: StripeOperationKind
    resource_id: UUID
    user_id: UUID | None = None
    stripe_customer_id: str | None = None
    stripe_event_ids: tuple[str, ...] = ()
    stripe_payment_method_id: str | None = None
    is_default: bool = False
    plan: PlanRequest | None = None


class StripeOperationResult(Frozen):
    """Answer of `StripeErrandWorkflow`.

    Args:
        resource_id: The row that was made or changed.
        stripe_payment_method_id: The card as Stripe names it once it is attached.
        stripe_setup_intent_id: The set-up intent; its secret is read from Stripe, never stored.
        retried_stripe_invoice_ids: Payment retries that are told of a new default card.
    """

    resource_id: UUID
    stripe_payment_method_id: str | None = None
    stripe_setup_intent_id: str | None = None
    retried_stripe_invoice_ids: tuple[str, ...] = ()
