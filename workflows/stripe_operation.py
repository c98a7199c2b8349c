"""The workflow of one short Stripe operation that the API waits for; safe to start again."""

from collections.abc import Callable, Coroutine
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.payments.customer_sync import CustomerSyncActivities
    from activities.payments.payment_methods import CardActivities, SetupIntentActivities
    from activities.plans import CatalogActivities
    from activities.subscriptions.adoption import AdoptionActivities
    from activities.subscriptions.hosted_pages import CheckoutActivities, PortalActivities
    from activities.subscriptions.previews import PreviewActivities
    from activities.usage import MeterErrorActivities
    from domain.payment_retries.messages import RetryCommandKind
    from domain.stripe_operations import (
        AnyStripeOperation,
        StripeOperationKind,
        StripeOperationResult,
    )
    from workflows.activity_options import STRIPE_COMMAND
    from workflows.subscriptions.payment_retries import tell_payment_retry

Operation = Callable[[Any, Any], Coroutine[Any, Any, StripeOperationResult]]

_ACTIVITIES: dict[StripeOperationKind, Operation] = {
    StripeOperationKind.ATTACH_PAYMENT_METHOD: CardActivities.attach_payment_method,
    StripeOperationKind.SET_DEFAULT_PAYMENT_METHOD: CardActivities.set_default_payment_method,
    StripeOperationKind.DETACH_PAYMENT_METHOD: CardActivities.detach_payment_method,
    StripeOperationKind.CREATE_SETUP_INTENT: SetupIntentActivities.create_setup_intent,
    StripeOperationKind.CREATE_PLAN: CatalogActivities.create_plan,
    StripeOperationKind.CHANGE_PLAN: CatalogActivities.change_plan,
    StripeOperationKind.SYNC_CUSTOMER: CustomerSyncActivities.sync_customer,
    StripeOperationKind.ADOPT_SUBSCRIPTION: AdoptionActivities.adopt_subscription,
    StripeOperationKind.READ_METER_ERRORS: MeterErrorActivities.read_meter_errors,
    StripeOperationKind.PREVIEW_CHANGE: PreviewActivities.preview_change,
    StripeOperationKind.PREVIEW_START: PreviewActivities.preview_start,
    StripeOperationKind.CREATE_CHECKOUT_SESSION: CheckoutActivities.create_checkout_session,
    StripeOperationKind.CLOSE_CHECKOUT_SESSIONS: CheckoutActivities.close_checkout_sessions,
    StripeOperationKind.CREATE_PORTAL_SESSION: PortalActivities.create_portal_session,
}


@workflow.defn(name="StripeOperationWorkflow")
class StripeOperationWorkflow:
    """The workflow of one operation; its id is `stripe-operation-{operation_id}`."""

    @workflow.init
    def __init__(self, operation: AnyStripeOperation) -> None:
        self._operation = operation

    @workflow.run
    async def run(self, operation: AnyStripeOperation) -> StripeOperationResult:
        """Run the operation's activity, then offer a new default card to open payment retries.

        Args:
            operation: The operation; its id is part of Stripe's idempotency keys.

        Returns:
            The id of the row that was created or changed.
        """
        result = await workflow.execute_activity_method(
            _ACTIVITIES[operation.kind],
            operation,
            **STRIPE_COMMAND,
            summary=operation.kind,
        )
        for stripe_invoice_id in result.retried_stripe_invoice_ids:
            await tell_payment_retry(
                stripe_invoice_id,
                RetryCommandKind.TRY_CARD,
                result.stripe_payment_method_id,
            )
        return result

    def log_fields(self) -> dict[str, str]:
        """Return fields for the log lines of the operation's start and end."""
        operation = self._operation
        return {"operation": operation.kind, "resource_id": str(operation.resource_id)}
