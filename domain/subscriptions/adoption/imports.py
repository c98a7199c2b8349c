"""The import of an account's customers and subscriptions: messages and the rule of linking."""

from enum import StrEnum
from uuid import UUID

from domain.base import Frozen
from domain.payments.snapshots import CustomerSnapshot
from domain.subscriptions.adoption.decisions import FoundSubscription
from domain.workflow_names import CONTINUE_AS_NEW_AFTER


class ImportStatus(StrEnum):
    """What became of a customer of the account in an import."""

    MAPPED = "mapped"  # named by the operator's mapping, and not seen at Stripe yet
    LINKED = "linked"
    UNLINKED = "unlinked"  # belongs to no user
    REFUSED = "refused"  # the mapping contradicts what is known


class ImportPhase(StrEnum):
    """The phases of an import, in order."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    DONE = "done"


class ListedCustomer(Frozen):
    """A customer in a list of the account, without its cards."""

    customer: CustomerSnapshot
    named_user_id: UUID | None = None


class ImportCounts(Frozen):
    """Counts of an import.

    Args:
        customer_count: Customers seen.
        linked_count: Customers that belong to a user.
        card_count: Cards of these customers.
        subscription_count: Subscriptions seen that have not ended.
        adopted_count: Subscriptions that are followed since this import.
        known_count: Subscriptions that were followed before.
        ownerless_count: Subscriptions of customers who belong to no user.
        planless_count: Adopted subscriptions whose price belongs to no plan.
    """

    customer_count: int = 0
    linked_count: int = 0
    card_count: int = 0
    subscription_count: int = 0
    adopted_count: int = 0
    known_count: int = 0
    ownerless_count: int = 0
    planless_count: int = 0

    def plus(self, other: "ImportCounts") -> "ImportCounts":
        """Return the sums of both."""
        names = type(self).model_fields
        return ImportCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class ImportPageInput(Frozen):
    """Input of the activities that read one page; None reads the first page."""

    after: str | None = None


class ImportPageResult(Frozen):
    """Result of one page.

    Args:
        counts: Counts of this page.
        after: Last id of the page, if another page follows.
        new: Subscriptions of the page that are to be adopted.
    """

    counts: ImportCounts
    after: str | None = None
    new: tuple[FoundSubscription, ...] = ()


class AdoptPageInput(Frozen):
    """Input of `adopt_page`: the subscriptions of a page that have no row."""

    found: tuple[FoundSubscription, ...]


class StripeImportStart(Frozen):
    """Input of `StripeImportWorkflow.run`; all but the limit is carried over by continue-as-new."""

    phase: ImportPhase = ImportPhase.CUSTOMERS
    after: str | None = None
    counts: ImportCounts = ImportCounts()
    continue_as_new_after: int = CONTINUE_AS_NEW_AFTER


class ImportProgress(Frozen):
    """Progress of an import, for the command line."""

    phase: ImportPhase
    counts: ImportCounts


def candidate_of(
    owner_id: UUID | None, mapped_id: UUID | None, named_id: UUID | None
) -> tuple[UUID | None, str | None]:
    """Return the user to whom a customer is to be linked, or why it cannot be.

    Args:
        owner_id: User whom the customer belongs to already.
        mapped_id: User whom the operator's mapping names.
        named_id: User whom the customer's metadata names.

    Returns:
        The user, None without one; and the refusal, None unless the mapping contradicts the owner.
    """
    if owner_id is not None and mapped_id not in {None, owner_id}:
        return None, "the customer belongs to another user"
    return owner_id or mapped_id or named_id, None
