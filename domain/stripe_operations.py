"""Short requests to Stripe that the API waits for: what crosses the border of their workflow."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.plans import PlanRequest


class StripeOperationKind(StrEnum):
    """What can be asked of Stripe in one short request."""

    ATTACH_PAYMENT_METHOD = "attach_payment_method"
    SET_DEFAULT_PAYMENT_METHOD = "set_default_payment_method"
    DETACH_PAYMENT_METHOD = "detach_payment_method"
    CREATE_SETUP_INTENT = "create_setup_intent"
    CREATE_PLAN = "create_plan"
    CHANGE_PLAN = "change_plan"
    SYNC_CUSTOMER = "sync_customer"


class StripeOperation(Frozen):
    """What every operation has.

    Args:
        operation_id: Makes the workflow id and Stripe's idempotency keys.
        resource_id: Id of the row that is made or changed.
    """

    operation_id: UUID
    resource_id: UUID


class AttachPaymentMethod(StripeOperation):
    """Attaches a card to a user's customer, as the default one if asked."""

    kind: Literal[StripeOperationKind.ATTACH_PAYMENT_METHOD] = (
        StripeOperationKind.ATTACH_PAYMENT_METHOD
    )
    user_id: UUID
    stripe_payment_method_id: str
    is_default: bool = False


class SetDefaultPaymentMethod(StripeOperation):
    """Makes a card the default of its owner."""

    kind: Literal[StripeOperationKind.SET_DEFAULT_PAYMENT_METHOD] = (
        StripeOperationKind.SET_DEFAULT_PAYMENT_METHOD
    )
    user_id: UUID
    stripe_payment_method_id: str


class DetachPaymentMethod(StripeOperation):
    """Detaches a card."""

    kind: Literal[StripeOperationKind.DETACH_PAYMENT_METHOD] = (
        StripeOperationKind.DETACH_PAYMENT_METHOD
    )
    stripe_payment_method_id: str


class CreateSetupIntent(StripeOperation):
    """Prepares the saving of a user's card in a browser."""

    kind: Literal[StripeOperationKind.CREATE_SETUP_INTENT] = StripeOperationKind.CREATE_SETUP_INTENT
    user_id: UUID


class CreatePlan(StripeOperation):
    """Makes a plan, with its product and price at Stripe."""

    kind: Literal[StripeOperationKind.CREATE_PLAN] = StripeOperationKind.CREATE_PLAN
    plan: PlanRequest


class ChangePlan(StripeOperation):
    """Changes what is given of a plan."""

    kind: Literal[StripeOperationKind.CHANGE_PLAN] = StripeOperationKind.CHANGE_PLAN
    plan: PlanRequest


class SyncCustomer(StripeOperation):
    """Follows what was changed of a customer at Stripe.

    Args:
        user_id: Ours.
        stripe_customer_id: Stripe's.
        stripe_event_ids: What told of it.
    """

    kind: Literal[StripeOperationKind.SYNC_CUSTOMER] = StripeOperationKind.SYNC_CUSTOMER
    user_id: UUID
    stripe_customer_id: str
    stripe_event_ids: tuple[str, ...] = ()


# Argument of `StripeOperationWorkflow.run`.
AnyStripeOperation = Annotated[
    AttachPaymentMethod
    | SetDefaultPaymentMethod
    | DetachPaymentMethod
    | CreateSetupIntent
    | CreatePlan
    | ChangePlan
    | SyncCustomer,
    Field(discriminator="kind"),
]


class StripeOperationResult(Frozen):
    """Result of `StripeOperationWorkflow`.

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
