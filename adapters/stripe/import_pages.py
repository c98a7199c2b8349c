"""Lists the customers and subscriptions of an account, page by page, for an import."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import stripe

from adapters.stripe.cards import card_snapshot
from adapters.stripe.client import translate_stripe_errors
from adapters.stripe.found_subscriptions import found_subscription
from adapters.stripe.reading import field, metadata_id, object_id, required
from domain.payments.snapshots import CardSnapshot, CustomerSnapshot
from domain.subscriptions.adoption.decisions import FoundSubscription
from domain.subscriptions.adoption.imports import ListedCustomer
from domain.subscriptions.lifecycle import FINAL

PAGE_SIZE = 100


class CustomerPage(NamedTuple):
    """One page of customers; `after` is None on the last page."""

    customers: Sequence[ListedCustomer]
    after: str | None


class SubscriptionPage(NamedTuple):
    """One page of subscriptions that have not ended; `after` is None on the last page."""

    subscriptions: Sequence[FoundSubscription]
    after: str | None


class StripeImportPages:
    """Reads the account's lists, newest first; what is made meanwhile is told by events."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def customers(self, after: str | None) -> CustomerPage:
        """Return the page of customers that follows a customer.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            page = await self._client.v1.customers.list_async(_params(after))
        found = required(page, "data")
        return CustomerPage([_listed_customer(each) for each in found], _last_id(page, found))

    async def cards(self, stripe_customer_id: str) -> tuple[CardSnapshot, ...]:
        """Return the cards of a customer.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            page = await self._client.v1.customers.payment_methods.list_async(
                stripe_customer_id,
                {"type": "card", "limit": PAGE_SIZE},
            )
            return tuple([card_snapshot(card) async for card in page.auto_paging_iter()])

    async def subscriptions(self, after: str | None) -> SubscriptionPage:
        """Return the page of subscriptions that follows a subscription, without ended ones.

        Raises:
            ApplicationError: See `translate_stripe_errors`.
        """
        with translate_stripe_errors():
            page = await self._client.v1.subscriptions.list_async(_params(after))
        data = required(page, "data")
        found = [found_subscription(each) for each in data]
        live = [snapshot for snapshot in found if snapshot.subscription_status not in FINAL]
        return SubscriptionPage(live, _last_id(page, data))


def _params(after: str | None) -> Any:
    params: dict[str, Any] = {"limit": PAGE_SIZE}
    return params if after is None else {**params, "starting_after": after}


def _last_id(page: object, found: Sequence[object]) -> str | None:
    return str(required(found[-1], "id")) if field(page, "has_more") and found else None


def _listed_customer(found: object) -> ListedCustomer:
    return ListedCustomer(
        customer=CustomerSnapshot(
            stripe_customer_id=required(found, "id"),
            currency_code=field(found, "currency"),
            default_card_id=object_id(field(found, "invoice_settings.default_payment_method")),
        ),
        named_user_id=metadata_id(found, "user_id"),
    )
