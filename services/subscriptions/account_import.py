"""Imports a Stripe account's customers, cards and subscriptions, and changes nothing at Stripe."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.stripe.import_pages import StripeImportPages
from database.accounts.customer_links import CustomerLinkRepository
from database.accounts.imported_customers import ImportedCustomerRepository
from database.payments.payment_methods import PaymentMethodRepository
from database.plans.plans import PlanRepository
from database.session import Sessions
from database.subscriptions.adoption import KnownSubscriptionRepository
from domain.subscriptions.adoption.decisions import FoundSubscription
from domain.subscriptions.adoption.imports import (
    AdoptPageInput,
    ImportCounts,
    ImportPageResult,
    ImportStatus,
    ListedCustomer,
    candidate_of,
)
from services.subscriptions.adoption import SubscriptionAdoption

# Reason: half of the rate is left to everything else, and a subscription takes up to four calls:
# the cards of its customer, itself, its invoices, and an unpaid invoice.
RATE_SHARE, CALLS_EACH = 0.5, 4
_POLL_SECONDS = 0.2
# How long the next page waits for the views of one page; the mailboxes go on by themselves.
_VIEWS_SECONDS = 60.0


@dataclass(frozen=True)
class AccountImport:
    """Imports one page at a time; a page that is done again changes nothing.

    Args:
        calls_per_second: How many calls to Stripe all workers may make.
    """

    pages: StripeImportPages
    adoption: SubscriptionAdoption
    sessions: Sessions
    calls_per_second: float

    async def import_customers(self, after: str | None) -> ImportPageResult:
        """Link the customers of a page to users, and store the cards of those that are linked.

        Raises:
            ApplicationError: Stripe is down.
        """
        page = await self.pages.customers(after)
        counts = ImportCounts(customer_count=len(page.customers))
        async with self.sessions() as session:
            ids = [each.customer.stripe_customer_id for each in page.customers]
            mapped = await ImportedCustomerRepository(session).mapped_users(ids)
        for listed in page.customers:
            mapped_id = mapped.get(listed.customer.stripe_customer_id)
            counts = counts.plus(await self._import_customer(listed, mapped_id))
        return ImportPageResult(counts=counts, after=page.after)

    async def find_subscriptions(self, after: str | None) -> ImportPageResult:
        """Return the subscriptions of a page that are to be adopted.

        Raises:
            ApplicationError: Stripe is down.
        """
        page = await self.pages.subscriptions(after)
        found = page.subscriptions
        async with self.sessions() as session:
            customer_ids = {each.stripe_customer_id for each in found}
            owned = await CustomerLinkRepository(session).owned_customers(customer_ids)
            subscriptions = KnownSubscriptionRepository(session)
            known = await subscriptions.followed(_ids(found))
            await self._wake_planless(session, found)
            new = [
                each
                for each in found
                if each.stripe_subscription_id not in known and each.stripe_customer_id in owned
            ]
            planless_count = sum([not await _has_plan(session, each) for each in new])
        counts = ImportCounts(
            subscription_count=len(found),
            adopted_count=len(new),
            known_count=len(known),
            ownerless_count=len(found) - len(new) - len(known),
            planless_count=planless_count,
        )
        return ImportPageResult(counts=counts, after=page.after, new=tuple(new))

    async def adopt(self, page: AdoptPageInput) -> None:
        """Start the mailboxes of subscriptions, no faster than the rate, and wait for their views.

        Raises:
            ApplicationError: Stripe or Temporal is down.
        """
        for found in page.found:
            await self.adoption.adopt(found, is_imported=True)
            await self._pause(CALLS_EACH - 1)
        deadline = asyncio.get_running_loop().time() + _VIEWS_SECONDS
        ids = _ids(page.found)
        while asyncio.get_running_loop().time() < deadline:
            async with self.sessions() as session:
                if not await KnownSubscriptionRepository(session).count_unread(ids):
                    return
            await asyncio.sleep(_POLL_SECONDS)

    async def finish(self) -> None:
        """Note that all subscriptions of the linked customers are adopted."""
        async with self.sessions.begin() as session:
            await ImportedCustomerRepository(session).finish()

    async def _import_customer(
        self, listed: ListedCustomer, mapped_id: UUID | None
    ) -> ImportCounts:
        customer, customer_id = listed.customer, listed.customer.stripe_customer_id
        async with self.sessions.begin() as session:
            users = CustomerLinkRepository(session)
            owner_id = await users.owner_of_customer(customer_id)
            user_id, refusal = candidate_of(owner_id, mapped_id, listed.named_user_id)
            if user_id is not None and not await users.link_customer(user_id, customer_id):
                refusal = "the user has another customer" if mapped_id else None
                user_id = None
            status = ImportStatus.LINKED if user_id else ImportStatus.UNLINKED
            status = ImportStatus.REFUSED if refusal else status
            await ImportedCustomerRepository(session).put_status(customer_id, status, refusal)
        if user_id is None:
            return ImportCounts()
        cards = await self.pages.cards(customer_id)
        await self._pause(1)
        async with self.sessions.begin() as session:
            snapshot = customer.model_copy(update={"cards": cards})
            await PaymentMethodRepository(session).follow(user_id, snapshot)
        return ImportCounts(linked_count=1, card_count=len(cards))

    async def _wake_planless(
        self, session: AsyncSession, found: Sequence[FoundSubscription]
    ) -> None:
        """Let subscriptions without a plan read again whether their price has one by now."""
        planless = await KnownSubscriptionRepository(session).planless(_ids(found))
        by_id = {each.stripe_subscription_id: each for each in found}
        for row in planless:
            if await _has_plan(session, by_id[row.stripe_subscription_id or ""]):
                await self.adoption.mailboxes.hint(row.subscription_id, row.user_id, ["import"])

    async def _pause(self, call_count: int) -> None:
        await asyncio.sleep(call_count / (self.calls_per_second * RATE_SHARE))


async def _has_plan(session: AsyncSession, found: FoundSubscription) -> bool:
    plans = PlanRepository(session)
    return await plans.of_price(found.stripe_price_id, found.stripe_product_id) is not None


def _ids(found: Collection[FoundSubscription]) -> list[str]:
    return [each.stripe_subscription_id for each in found]
