"""Finds the owners of subscriptions that were made at Stripe, and adopts the subscriptions."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.stripe.customers import StripeCustomers
from adapters.stripe.found_subscriptions import StripeFoundSubscriptions
from database.accounts.customer_links import CustomerLinkRepository
from database.accounts.idempotency_keys import IdempotencyKeyRepository
from database.accounts.imported_customers import ImportedCustomerRepository
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.adoption import KnownSubscriptionRepository
from database.subscriptions.checkout_sessions import CheckoutSessionRepository
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from database.webhooks.inbox import settle_awaiting_owner
from domain.ids import subscription_workflow_id
from domain.subscriptions.adoption.decisions import (
    Adoption,
    AdoptionDecision,
    FoundSubscription,
    adoption_of,
    decide_adoption,
)
from domain.subscriptions.checkouts import CheckoutStatus
from domain.subscriptions.events import adoption_event
from domain.subscriptions.lifecycle import SubscriptionStatus
from services.subscriptions.mailboxes import Mailboxes

# Pauses between looks at a subscription that Stripe says it does not know, in seconds.
_LOOK_PAUSES = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class SubscriptionAdoption:
    """Adopts subscriptions that were made in the Dashboard, by Checkout or by other software."""

    found: StripeFoundSubscriptions
    customers: StripeCustomers
    mailboxes: Mailboxes
    sessions: Sessions

    async def adopt_named(
        self, stripe_subscription_id: str, stripe_event_ids: Sequence[str]
    ) -> UUID | None:
        """Adopt the subscription that webhook events name, and settle the events.

        Args:
            stripe_subscription_id: Subscription without a row.
            stripe_event_ids: The events, which wait for the owner.

        Returns:
            Our id of the subscription; None if it belongs to no user of ours.

        Raises:
            ApplicationError: Stripe or Temporal is down.
        """
        found = await self._find(stripe_subscription_id)
        decision = await self.adopt(found, stripe_event_ids) if found else None
        subscription_id = decision.subscription_id if decision else None
        async with self.sessions.begin() as session:
            await settle_awaiting_owner(
                session, stripe_event_ids, stripe_subscription_id, subscription_id
            )
        return subscription_id

    async def _find(self, stripe_subscription_id: str) -> FoundSubscription | None:
        """Read a subscription; None once Stripe has said several times that there is none."""
        for seconds in _LOOK_PAUSES:
            if (found := await self.found.read(stripe_subscription_id)) is not None:
                return found
            # Reason: an event names it, so one 404 may be wrong, and its customer may have paid.
            await asyncio.sleep(seconds)
        return await self.found.read(stripe_subscription_id)

    async def adopt(
        self,
        found: FoundSubscription,
        stripe_event_ids: Sequence[str] = (),
        *,
        is_imported: bool = False,
    ) -> AdoptionDecision | None:
        """Send the mailbox of a subscription a hint; without a row, the subscription is adopted.

        Args:
            found: The subscription at Stripe.
            stripe_event_ids: Events that named it.
            is_imported: Whether it is part of an import; then one with a row gets no hint.

        Returns:
            The subscription of ours; None if it belongs to no user of ours.

        Raises:
            ApplicationError: Stripe or Temporal is down.
        """
        user_id = await self.user_of(found)
        account = await self.found.account_id()
        async with self.sessions() as session:
            decision = await _decide(session, account, found, user_id)
            if decision is None:
                return None
            if is_imported and not decision.is_new:
                return decision
            adoption = await _adoption(session, found, decision, is_imported=is_imported)
        await self.mailboxes.hint(
            decision.subscription_id, decision.user_id, stripe_event_ids, adoption
        )
        return decision

    async def user_of(self, found: FoundSubscription) -> UUID | None:
        """Return the user whom a subscription's customer belongs to; link a customer of ours.

        A customer whose metadata names a user without a customer is one that we made, and whose
        answer was lost. An equal email address says nothing about who a customer is.

        Raises:
            ApplicationError: Stripe is down.
        """
        customer_id, named_user_id = found.stripe_customer_id, found.named_user_id
        async with self.sessions.begin() as session:
            users = CustomerLinkRepository(session)
            owner_id = await users.owner_of_customer(customer_id)
            if owner_id is not None or named_user_id is None:
                return owner_id
            if not await users.link_customer(named_user_id, customer_id):
                return None
        await self.copy_cards(named_user_id, customer_id)
        return named_user_id

    async def copy_cards(self, user_id: UUID, stripe_customer_id: str) -> int:
        """Store the cards of a user's customer, and return how many there are.

        Raises:
            ApplicationError: Stripe is down.
        """
        snapshot = await self.customers.read(stripe_customer_id)
        async with self.sessions.begin() as session:
            await PaymentMethodRepository(session).follow(user_id, snapshot)
        return len(snapshot.cards)


async def insert_adopted(session: AsyncSession, subscription_id: UUID, adoption: Adoption) -> None:
    """Insert the row of an adopted subscription, unless another row has its id at Stripe.

    It exists at Stripe, so our selling rules do not apply to it. Its status is the one of a new
    subscription, so that the first sync finds all effects of the status at Stripe.
    """
    repository, pages = SubscriptionRepository(session), CheckoutSessionRepository(session)
    page = await pages.get(subscription_id)
    if page is not None:
        await pages.settle(subscription_id, CheckoutStatus.COMPLETE)
    await repository.insert(
        subscription_id=subscription_id,
        trial_days=0 if page is None else page.trial_days,
        subscription_status=SubscriptionStatus.INCOMPLETE,
        workflow_id=subscription_workflow_id(subscription_id),
        **adoption.model_dump(exclude={"is_imported"}),
    )
    if await repository.get(subscription_id, None) is not None:
        events = [adoption_event(adoption.stripe_subscription_id)]
        await SubscriptionEventRepository(session).append(subscription_id, events)


async def _decide(
    session: AsyncSession, account: str, found: FoundSubscription, user_id: UUID | None
) -> AdoptionDecision | None:
    named = found.named_subscription_id
    rows = await KnownSubscriptionRepository(session).known(found.stripe_subscription_id, named)
    is_requested = named is not None and await _is_requested(session, named, user_id)
    requested_ids = {named} if named is not None and is_requested else ()
    return decide_adoption(account, found, rows, user_id, requested_ids)


async def _is_requested(session: AsyncSession, named: UUID, user_id: UUID | None) -> bool:
    """Tell whether a subscription of this id was asked for, by a Checkout page or a key."""
    page = await CheckoutSessionRepository(session).get(named)
    if page is not None:
        return page.user_id == user_id
    return await IdempotencyKeyRepository(session).has_made(named)


async def _adoption(
    session: AsyncSession,
    found: FoundSubscription,
    decision: AdoptionDecision,
    *,
    is_imported: bool,
) -> Adoption | None:
    if not decision.is_new:
        return None
    # Reason: an event may come before the import has reached the subscription.
    imports = ImportedCustomerRepository(session)
    is_imported = is_imported or await imports.is_open(found.stripe_customer_id)
    plans = PlanRepository(session)
    plan = await plans.of_price(found.stripe_price_id, found.stripe_product_id)
    plan_id = plan.plan_id if plan else None
    return adoption_of(found, decision.user_id, plan_id, is_imported=is_imported)
