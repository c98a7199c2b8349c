"""Connects to Temporal."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime


async def connect(
    address: str,
    namespace: str,
    api_key: str | None,
    *,
    is_tls: bool,
    is_lazy: bool = False,
    runtime: Runtime | None = None,
) -> Client:
    """Connect to Temporal with the data converter of all our workflows.

    Args:
        address: `host:port`.
        namespace: Where the workflows run.
        api_key: Temporal Cloud's key; None where none is needed.
        is_tls: Whether the connection is encrypted.
        is_lazy: Whether the first call connects; so a process can start while Temporal is down.
        runtime: Where the SDK's own logs and metrics go.

    Raises:
        RuntimeError: Temporal cannot be reached.
    """
    return await Client.connect(
        address,
        namespace=namespace,
        api_key=api_key,
        tls=is_tls,
        data_converter=pydantic_data_converter,
        lazy=is_lazy,
        runtime=runtime,
    )
