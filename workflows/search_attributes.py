"""What workflows can be searched by: ids and statuses only, six keywords at the most."""

from uuid import UUID

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

USER_ID = SearchAttributeKey.for_keyword("UserId")
SUBSCRIPTION_ID = SearchAttributeKey.for_keyword("SubscriptionId")
# Reason: the Web UI would show one named `Status` in place of the execution's.
STATUS = SearchAttributeKey.for_keyword("ResourceStatus")
NAMES = tuple(key.name for key in (USER_ID, SUBSCRIPTION_ID, STATUS))


def starting_attributes(
    user_id: UUID | None = None,
    subscription_id: UUID | None = None,
) -> TypedSearchAttributes:
    """Build what a workflow is found by from its start on."""
    pairs: list[SearchAttributePair[str]] = []
    if user_id is not None:
        pairs.append(SearchAttributePair(USER_ID, str(user_id)))
    if subscription_id is not None:
        pairs.append(SearchAttributePair(SUBSCRIPTION_ID, str(subscription_id)))
    return TypedSearchAttributes(pairs)
