"""The activities of `StripeImportWorkflow`, each of which handles one page."""

from temporalio import activity

from domain.subscriptions.adoption.imports import AdoptPageInput, ImportPageInput, ImportPageResult
from services.subscriptions.account_import import AccountImport


class AccountImportActivities:
    """The activities that import an account; none of them changes anything at Stripe."""

    def __init__(self, account: AccountImport) -> None:
        self._account = account

    @activity.defn
    async def import_customers(self, page: ImportPageInput) -> ImportPageResult:
        """Link the customers of a page to users, and store the cards of those that are linked.

        Args:
            page: The page.

        Returns:
            Counts of the page, and where the next page begins.

        Raises:
            ApplicationError: Stripe is down.
        """
        return await self._account.import_customers(page.after)

    @activity.defn
    async def find_subscriptions(self, page: ImportPageInput) -> ImportPageResult:
        """Find the subscriptions of a page that are to be adopted.

        Args:
            page: The page.

        Returns:
            Counts of the page, its new subscriptions, and where the next page begins.

        Raises:
            ApplicationError: Stripe is down.
        """
        return await self._account.find_subscriptions(page.after)

    @activity.defn
    async def adopt_page(self, page: AdoptPageInput) -> None:
        """Adopt the new subscriptions of a page, at a part of Stripe's rate.

        Args:
            page: The subscriptions; those that are adopted already stay as they are.

        Raises:
            ApplicationError: Stripe or Temporal is down.
        """
        await self._account.adopt(page)

    @activity.defn
    async def finish_import(self) -> None:
        """Note that the import is done: from now on all events are followed as usual."""
        await self._account.finish()
