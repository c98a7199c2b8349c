"""Stripe operations: short requests to Stripe that the API waits for."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field

from domain.base import Frozen
from domain.plans import PlanRequest
from domain.subscriptions.checkouts import WayBack
from domain.subscriptions.messages import SubscriptionRequest
from domain.subscriptions.previews import (
    ChangePreview,
    ChangeTerms,
    CouponSnapshot,
    NewTerms,
)


class StripeOperationKind(StrEnum):
    """The kinds of Stripe operations."""

    ATTACH_PAYMENT_METHOD = "attach_payment_method"
    SET_DEFAULT_PAYMENT_METHOD = "set_default_payment_method"
    DETACH_PAYMENT_METHOD = "detach_payment_method"
    CREATE_SETUP_INTENT = "create_setup_intent"
    CREATE_PLAN = "create_plan"
    CHANGE_PLAN = "change_plan"
    SYNC_CUSTOMER = "sync_customer"
    ADOPT_SUBSCRIPTION = "adopt_subscription"
    READ_METER_ERRORS = "read_meter_errors"
    PREVIEW_CHANGE = "preview_change"
    PREVIEW_START = "preview_start"
    CREATE_CHECKOUT_SESSION = "create_checkout_session"
    CLOSE_CHECKOUT_SESSIONS = "close_checkout_sessions"
    CREATE_PORTAL_SESSION = "create_portal_session"


class StripeOperation(Frozen):
    """Base of all Stripe operations.

    Args:
        operation_id: Part of the workflow id and of Stripe's idempotency keys.
        resource_id: Id of the row that is created or changed.
    """

    operation_id: UUID
    resource_id: UUID


class AttachPaymentMethod(StripeOperation):
    """Attaches a card to the user's Stripe customer, as default card if requested."""

    kind: Literal[StripeOperationKind.ATTACH_PAYMENT_METHOD] = (
        StripeOperationKind.ATTACH_PAYMENT_METHOD
    )
    user_id: UUID
    stripe_payment_method_id: str
    is_default: bool = False


class SetDefaultPaymentMethod(StripeOperation):
    """Makes a card the default card of its owner."""

    kind: Literal[StripeOperationKind.SET_DEFAULT_PAYMENT_METHOD] = (
        StripeOperationKind.SET_DEFAULT_PAYMENT_METHOD
    )
    user_id: UUID
    stripe_payment_method_id: str


class DetachPaymentMethod(StripeOperation):
    """Detaches a card from its Stripe customer."""

    kind: Literal[StripeOperationKind.DETACH_PAYMENT_METHOD] = (
        StripeOperationKind.DETACH_PAYMENT_METHOD
    )
    stripe_payment_method_id: str


class CreateSetupIntent(StripeOperation):
    """Creates a setup intent, with which a browser saves a card of the user."""

    kind: Literal[StripeOperationKind.CREATE_SETUP_INTENT] = StripeOperationKind.CREATE_SETUP_INTENT
    user_id: UUID


class CreatePlan(StripeOperation):
    """Creates a plan, with its product and price at Stripe."""

    kind: Literal[StripeOperationKind.CREATE_PLAN] = StripeOperationKind.CREATE_PLAN
    plan: PlanRequest


class ChangePlan(StripeOperation):
    """Changes the given fields of a plan."""

    kind: Literal[StripeOperationKind.CHANGE_PLAN] = StripeOperationKind.CHANGE_PLAN
    plan: PlanRequest


class SyncCustomer(StripeOperation):
    """Copies changes of a customer from Stripe.

    Args:
        user_id: User that the customer belongs to.
        stripe_customer_id: Customer to read.
        stripe_event_ids: Events that reported the change.
    """

    kind: Literal[StripeOperationKind.SYNC_CUSTOMER] = StripeOperationKind.SYNC_CUSTOMER
    user_id: UUID
    stripe_customer_id: str
    stripe_event_ids: tuple[str, ...] = ()


class AdoptSubscription(StripeOperation):
    """Finds the owner of a subscription at Stripe that has no row, and adopts it.

    Args:
        stripe_subscription_id: Subscription to read.
        stripe_event_ids: Events that named it, and wait for the owner.
    """

    kind: Literal[StripeOperationKind.ADOPT_SUBSCRIPTION] = StripeOperationKind.ADOPT_SUBSCRIPTION
    stripe_subscription_id: str
    stripe_event_ids: tuple[str, ...] = ()


class ReadMeterErrors(StripeOperation):
    """Reads which reports of usage a plan's meter could not count.

    Args:
        stripe_event_ids: Events that reported the errors.
    """

    kind: Literal[StripeOperationKind.READ_METER_ERRORS] = StripeOperationKind.READ_METER_ERRORS
    stripe_event_ids: tuple[str, ...]


class PreviewChange(StripeOperation):
    """Previews a change of a subscription, whose id is the resource's id."""

    kind: Literal[StripeOperationKind.PREVIEW_CHANGE] = StripeOperationKind.PREVIEW_CHANGE
    stripe_subscription_id: str
    terms: ChangeTerms


class PreviewStart(StripeOperation):
    """Previews a new subscription of a user; the resource is the plan."""

    kind: Literal[StripeOperationKind.PREVIEW_START] = StripeOperationKind.PREVIEW_START
    user_id: UUID
    terms: NewTerms


class CreateCheckoutSession(StripeOperation):
    """Creates a page of Stripe's on which a user subscribes; the resource is the subscription.

    Args:
        request: What is sold.
        way_back: Where the page leads to.
    """

    kind: Literal[StripeOperationKind.CREATE_CHECKOUT_SESSION] = (
        StripeOperationKind.CREATE_CHECKOUT_SESSION
    )
    request: SubscriptionRequest
    way_back: WayBack


class CloseCheckoutSessions(StripeOperation):
    """Closes the open Checkout pages of a user and plan; the resource is what is sold instead.

    Args:
        is_stackable: Whether the user may have several subscriptions of the plan at once, so that
            one that was just paid on a page is no obstacle.
    """

    kind: Literal[StripeOperationKind.CLOSE_CHECKOUT_SESSIONS] = (
        StripeOperationKind.CLOSE_CHECKOUT_SESSIONS
    )
    user_id: UUID
    plan_id: UUID
    is_stackable: bool = False

    @classmethod
    def before(
        cls, operation_id: UUID, subscription_id: UUID, request: SubscriptionRequest
    ) -> Self:
        """Return the operation that goes before a plan is sold."""
        return cls(
            operation_id=operation_id,
            resource_id=subscription_id,
            user_id=request.user_id,
            plan_id=request.plan_id,
            is_stackable=request.is_stackable,
        )


class CreatePortalSession(StripeOperation):
    """Creates a session of Stripe's customer portal for a user."""

    kind: Literal[StripeOperationKind.CREATE_PORTAL_SESSION] = (
        StripeOperationKind.CREATE_PORTAL_SESSION
    )
    user_id: UUID
    return_url: str


# Input of `StripeOperationWorkflow.run`.
AnyStripeOperation = Annotated[
    AttachPaymentMethod
    | SetDefaultPaymentMethod
    | DetachPaymentMethod
    | CreateSetupIntent
    | CreatePlan
    | ChangePlan
    | SyncCustomer
    | AdoptSubscription
    | ReadMeterErrors
    | PreviewChange
    | PreviewStart
    | CreateCheckoutSession
    | CloseCheckoutSessions
    | CreatePortalSession,
    Field(discriminator="kind"),
]


class HostedPage(Frozen):
    """A page of Stripe's for one customer; whoever has its address acts for the customer."""

    url: str
    expires_at: datetime


class StripeOperationResult(Frozen):
    """Result of `StripeOperationWorkflow`.

    Args:
        resource_id: Id of the row that was created or changed.
        stripe_payment_method_id: Stripe's id of the card once it is attached.
        stripe_setup_intent_id: Setup intent; its secret is read from Stripe and never stored.
        retried_stripe_invoice_ids: Invoices whose payment retries try the new default card.
        preview: What a previewed change or subscription costs.
        page: Page that was opened.
        coupon: Coupon of a previewed subscription.
    """

    resource_id: UUID
    stripe_payment_method_id: str | None = None
    stripe_setup_intent_id: str | None = None
    retried_stripe_invoice_ids: tuple[str, ...] = ()
    preview: ChangePreview | None = None
    page: HostedPage | None = None
    coupon: CouponSnapshot | None = None

    @property
    def required_page(self) -> HostedPage:
        """The page that was opened.

        Raises:
            ValueError: The operation opens no page.
        """
        if self.page is None:
            raise ValueError("this operation opens no page")
        return self.page
