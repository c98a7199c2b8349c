"""Registers search attributes at a Temporal server."""

from collections.abc import Iterable

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client


async def register(client: Client, names: Iterable[str]) -> None:
    """Register the keyword attributes that the server does not know yet.

    Args:
        client: Connected to the namespace that the workflows run in.
        names: Names of the search attributes of all workflows.
    """
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace),
    )
    missing = [name for name in names if name not in known.custom_attributes]
    if missing:
        await add(client, missing)


async def add(client: Client, names: Iterable[str]) -> None:
    """Register keyword attributes that the server does not know yet.

    Args:
        client: Connected to the namespace that the workflows run in.
        names: Names to add; all names on the time-skipping server, which lists none.
    """
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes=dict.fromkeys(names, keyword),
        ),
    )
