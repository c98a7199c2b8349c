"""Namespaces of Temporal in which nothing runs but what a test starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from adapters.temporal.search_attributes import register
from tests.api.support import eventually
from workflows.search_attributes import NAMES


@pytest.fixture
async def namespace(dev_server: Client) -> AsyncIterator[Client]:
    """Return a client of a namespace in which nothing else runs."""
    async with open_namespace(dev_server) as client:
        yield client


@asynccontextmanager
async def open_namespace(dev_server: Client) -> AsyncIterator[Client]:
    """Make a namespace, and terminate what runs in it at the end."""
    name = f"own-{uuid4().hex}"
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86_400)
    await dev_server.workflow_service.register_namespace(request)
    client = await Client.connect(
        dev_server.service_client.config.target_host,
        namespace=name,
        data_converter=pydantic_data_converter,
    )

    async def is_known() -> bool:
        try:
            await register(client, NAMES)
            await client.count_workflows()
        except RPCError:
            return False
        return True

    await eventually(is_known)
    yield client
    async for execution in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(execution.id).terminate()
