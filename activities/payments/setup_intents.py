"""Stripe's small job of preparing the saving of a card in a browser."""

from temporalio import activity

from adapters.stripe.customers import StripeCustomers
from adapters.stripe.setup_intents import StripeSetupIntents
from database.session import Sessions
from domain.errors import InvalidInputError
from domain.ids import errand_workflow_id
from domain.stripe_operations import ErrandResult, StripeErrand
from services.payments.customers import StripeCustomerOf
from services.stripe_idempotency import post_once


class SetupIntentActivities:
    """Set-up intents at Stripe."""

    def __init__(
        self,
        setup_intents: StripeSetupIntents,
        customers: StripeCustomers,
        sessions: Sessions,
    ) -> None:
        self._setup_intents = setup_intents
        self._customers = customers
        self._sessions = sessions

    @activity.defn
    async def create_setup_intent(self, errand: StripeErrand) -> ErrandResult:
        """Prepare the saving of a card in a browser.

        Args:
            errand: With the user.

        Returns:
            The set-up intent's id; a history must not hold its secret.

        Raises:
            ApplicationError: Stripe refused, or is down.
        """
        if errand.user_id is None:
            raise InvalidInputError("a set-up needs a user")
        owner = StripeCustomerOf(errand.user_id, self._customers, self._sessions)

        async def create(stripe_customer_id: str) -> str:
            async def post(key: str) -> str:
                return await self._setup_intents.create(
                    stripe_customer_id,
                    errand.errand_id,
                    key,
                )

            async def find() -> str | None:
                return await self._setup_intents.find(
                    stripe_customer_id,
                    errand.errand_id,
                )

            key = f"{errand_workflow_id(errand.errand_id)}:setup:{stripe_customer_id}"
            return await post_once(key, post, find)

        made = await owner.use(create)
        return ErrandResult(resource_id=errand.resource_id, stripe_setup_intent_id=made)
