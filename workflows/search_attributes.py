"""Search attributes of workflows: only ids and statuses, at most six keywords."""

from uuid import UUID

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from domain.workflow_names import SUBSCRIPTION_ID_ATTRIBUTE, USER_ID_ATTRIBUTE

USER_ID = SearchAttributeKey.for_keyword(USER_ID_ATTRIBUTE)
SUBSCRIPTION_ID = SearchAttributeKey.for_keyword(SUBSCRIPTION_ID_ATTRIBUTE)
# Reason: the Web UI would show an attribute named `Status` in place of the execution's status.
STATUS = SearchAttributeKey.for_keyword("ResourceStatus")
NAMES = tuple(key.name for key in (USER_ID, SUBSCRIPTION_ID, STATUS))


def starting_attributes(
    user_id: UUID | None = None,
    subscription_id: UUID | None = None,
    status: str | None = None,
) -> TypedSearchAttributes:
    """Build the search attributes that a workflow starts with."""
    pairs: list[SearchAttributePair[str]] = []
    if user_id is not None:
        pairs.append(SearchAttributePair(USER_ID, str(user_id)))
    if subscription_id is not None:
        pairs.append(SearchAttributePair(SUBSCRIPTION_ID, str(subscription_id)))
    if status is not None:
        pairs.append(SearchAttributePair(STATUS, status))
    return TypedSearchAttributes(pairs)
