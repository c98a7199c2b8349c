"""Stripe's small job of preparing the saving of a card in a browser."""

from temporalio import activity

from activities.customers import ensure_customer
from adapters.stripe.customers import StripeCustomers
from database.session import Sessions
from domain.errands import ErrandResult, StripeErrand
from domain.errors import InvalidInputError
from domain.ids import errand_workflow_id


class SetupIntentActivities:
    """Set-up intents at Stripe."""

    def __init__(self, customers: StripeCustomers, sessions: Sessions) -> None:
        self._customers = customers
        self._sessions = sessions

    @activity.defn
    async def create_setup_intent(self, errand: StripeErrand) -> ErrandResult:
        """Prepare the saving of a card in a browser.

        Args:
            errand: With the user.

        Returns:
            Stripe's id of it.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        if errand.user_id is None:
            raise InvalidInputError("a set-up needs a user")
        customer_id = await ensure_customer(errand.user_id, self._customers, self._sessions)
        key = f"{errand_workflow_id(errand.errand_id)}:setup"
        made_id = await self._customers.create_setup_intent(customer_id, key)
        return ErrandResult(resource_id=errand.resource_id, stripe_setup_intent_id=made_id)
