"""The activities that preview what a change or a new subscription costs."""

from temporalio import activity

from adapters.stripe.customers import StripeCustomers
from database.session import Sessions
from domain.ids import stripe_operation_workflow_id
from domain.stripe_operations import PreviewChange, PreviewStart, StripeOperationResult
from services.payments.customers import UserStripeCustomer
from services.subscriptions.changes.previews import ChangePreviews
from services.subscriptions.changes.unpaid_credits import UnpaidCredits


class PreviewActivities:
    """The activities that ask Stripe for previews; nothing is changed by them."""

    def __init__(
        self,
        previews: ChangePreviews,
        unpaid_credits: UnpaidCredits,
        customers: StripeCustomers,
        sessions: Sessions,
    ) -> None:
        self._previews = previews
        self._unpaid_credits = unpaid_credits
        self._customers = customers
        self._sessions = sessions

    @activity.defn
    async def preview_change(self, operation: PreviewChange) -> StripeOperationResult:
        """Preview a change of a subscription.

        Args:
            operation: The subscription and the change.

        Returns:
            What is charged at once and by the next invoice.

        Raises:
            IllegalCommandError: The change would credit what nobody has paid (`period_not_paid`).
            ApplicationError: Stripe refused, or is down.
        """
        key = stripe_operation_workflow_id(operation.operation_id)
        stripe_id, terms = operation.stripe_subscription_id, operation.terms
        preview = await self._previews.of_change(stripe_id, terms, key)
        if not terms.is_at_period_end and not preview.amount_due_now_cents:
            await self._unpaid_credits.refuse(operation.resource_id, stripe_id, terms, key)
        return StripeOperationResult(resource_id=operation.resource_id, preview=preview)

    @activity.defn
    async def preview_start(self, operation: PreviewStart) -> StripeOperationResult:
        """Preview a new subscription of a user, who need not be a customer at Stripe yet.

        Args:
            operation: The user and the plan.

        Returns:
            What is charged at once and by the next invoice, and the coupon.

        Raises:
            NotFoundError: There is no such coupon or promotion code.
            ApplicationError: Stripe refused, or is down.
        """
        owner = UserStripeCustomer(operation.user_id, self._customers, self._sessions)
        key = stripe_operation_workflow_id(operation.operation_id)
        terms = operation.terms
        coupon = await self._previews.coupon(terms.coupon, terms.promotion_code)
        preview = await self._previews.of_start(await owner.known(), terms, coupon, key)
        return StripeOperationResult(
            resource_id=operation.resource_id, preview=preview, coupon=coupon
        )
