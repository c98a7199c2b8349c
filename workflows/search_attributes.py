"""What workflows can be searched by: ids and statuses only, six keywords at the most."""

from collections.abc import Iterable
from uuid import UUID

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

USER_ID = SearchAttributeKey.for_keyword("UserId")
SUBSCRIPTION_ID = SearchAttributeKey.for_keyword("SubscriptionId")
# Reason: the Web UI would show one named `Status` in place of the execution's.
STATUS = SearchAttributeKey.for_keyword("ResourceStatus")
ALL = (USER_ID, SUBSCRIPTION_ID, STATUS)


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


async def register(client: Client) -> None:
    """Make the search attributes known to the server; those that it knows stay.

    Args:
        client: Connected to the namespace that the workflows run in.
    """
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace),
    )
    missing = [key.name for key in ALL if key.name not in known.custom_attributes]
    if missing:
        await add(client, missing)


async def add(client: Client, names: Iterable[str]) -> None:
    """Add keywords that the server does not know yet.

    Args:
        client: Connected to the namespace that the workflows run in.
        names: What to add; on the time-skipping server, which cannot list, all of them.
    """
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes=dict.fromkeys(names, keyword),
        ),
    )
