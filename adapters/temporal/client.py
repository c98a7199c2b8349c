"""Connects to Temporal."""

import re

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime

from adapters.temporal.errors import ConnectError

# The innermost reason in the message of the SDK's core, such as `message: "Connection refused"`.
_REASON = re.compile(r'(?:message|error): \\?"([^"\\]+)')


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
        namespace: Namespace of the workflows.
        api_key: Key of Temporal Cloud; None for a server without keys.
        is_tls: Whether the connection is encrypted.
        is_lazy: Whether to connect at the first call, so that a process can start while Temporal
            is down.
        runtime: Runtime that receives the SDK's logs and metrics.

    Raises:
        ConnectError: Temporal cannot be reached.
    """
    try:
        return await Client.connect(
            address,
            namespace=namespace,
            api_key=api_key,
            tls=is_tls,
            data_converter=pydantic_data_converter,
            lazy=is_lazy,
            runtime=runtime,
        )
    except RuntimeError as error:
        reasons = _REASON.findall(str(error))
        reason = f": {reasons[-1]}" if reasons else ""
        message = f"Temporal cannot be reached at {address}{reason}"
        raise ConnectError(message) from error


async def check_namespace(client: Client) -> None:
    """Check that the server has the namespace of a client, which connecting does not tell.

    Raises:
        RPCError: There is no such namespace, or the server refuses to tell.
    """
    request = DescribeNamespaceRequest(namespace=client.namespace)
    await client.workflow_service.describe_namespace(request)
