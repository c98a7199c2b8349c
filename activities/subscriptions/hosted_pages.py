"""The activities that open and close pages of Stripe's on which customers act themselves."""

from temporalio import activity

from adapters.stripe.customers import StripeCustomers
from adapters.stripe.portal_sessions import StripePortalSessions
from database.session import Sessions
from domain.ids import stripe_operation_workflow_id
from domain.stripe_operations import (
    CloseCheckoutSessions,
    CreateCheckoutSession,
    CreatePortalSession,
    HostedPage,
    StripeOperationResult,
)
from services.payments.customers import UserStripeCustomer
from services.stripe_idempotency import post_once
from services.subscriptions.checkouts import Checkouts


class CheckoutActivities:
    """The activities that open Checkout pages, and close them when a plan is sold otherwise."""

    def __init__(self, checkouts: Checkouts) -> None:
        self._checkouts = checkouts

    @activity.defn
    async def create_checkout_session(
        self, operation: CreateCheckoutSession
    ) -> StripeOperationResult:
        """Create a Checkout page on which a user subscribes to a plan.

        Args:
            operation: What is sold; its resource id becomes the id of the subscription.

        Returns:
            The address of the page, and when it expires.

        Raises:
            ApplicationError: The plan cannot be sold to this user, or Stripe refused or is down.
        """
        page = await self._checkouts.open(operation)
        return StripeOperationResult(resource_id=operation.resource_id, page=page)

    @activity.defn
    async def close_checkout_sessions(
        self, operation: CloseCheckoutSessions
    ) -> StripeOperationResult:
        """Expire the open Checkout pages of a user and plan, because the plan is sold otherwise.

        Args:
            operation: The user and the plan; its resource id is the subscription that is made.

        Returns:
            The resource id, once no page is open.

        Raises:
            ConflictError: The customer has just subscribed on one of them (`already_subscribed`).
            ApplicationError: Stripe is down.
        """
        await self._checkouts.close(operation)
        return StripeOperationResult(resource_id=operation.resource_id)


class PortalActivities:
    """The activity that opens Stripe's customer portal."""

    def __init__(
        self,
        portal_sessions: StripePortalSessions,
        customers: StripeCustomers,
        sessions: Sessions,
    ) -> None:
        self._portal_sessions = portal_sessions
        self._customers = customers
        self._sessions = sessions

    @activity.defn
    async def create_portal_session(self, operation: CreatePortalSession) -> StripeOperationResult:
        """Create a session of the customer portal for a user.

        Args:
            operation: The user, and where the portal leads back to.

        Returns:
            The address of the portal, and when it expires.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        owner = UserStripeCustomer(operation.user_id, self._customers, self._sessions)
        workflow_id = stripe_operation_workflow_id(operation.operation_id)
        configuration = await self._configuration(f"{workflow_id}:configuration")

        async def create(stripe_customer_id: str) -> HostedPage:
            async def post(key: str) -> HostedPage:
                return await self._portal_sessions.create(
                    stripe_customer_id, configuration, operation.return_url, key
                )

            async def find() -> HostedPage | None:
                return None  # Stripe lists no portal sessions; another one does no harm

            return await post_once(f"{workflow_id}:portal:{stripe_customer_id}", post, find)

        page = await owner.use(create)
        return StripeOperationResult(resource_id=operation.resource_id, page=page)

    async def _configuration(self, key: str) -> str:
        """Return the portal's configuration; make one if the account has none."""
        portal_sessions = self._portal_sessions
        found = await portal_sessions.configuration()
        if found is not None:
            return found

        async def post(numbered_key: str) -> str:
            return await self._portal_sessions.create_configuration(numbered_key)

        return await post_once(key, post, portal_sessions.configuration)
